using Distributed.Cli.Bench;
using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Core;

namespace Distributed.Cli.Lab;

/// <summary>What a split experiment measures.</summary>
/// <param name="Prefill">Tokens of the prompt.</param>
/// <param name="Decode">Tokens behind it, one step each.</param>
/// <param name="Batch">The most tokens in a step: the prompt goes in chunks of this many or fewer.</param>
/// <param name="Step">Every so many layers is a split.</param>
/// <param name="Repeats">Measurements of each split.</param>
/// <param name="Seed">The seed of the order, of the tokens and of random weights.</param>
/// <param name="KvType">The format of the KV cache.</param>
internal sealed record SplitOptions(int Prefill, int Decode, int Batch, int Step, int Repeats, int Seed, KvType KvType)
{
    /// <summary>The format of hidden states between the devices.</summary>
    public WireType Wire { get; init; }

    /// <summary>What the links between nodes are made to be; null to leave them as they are.</summary>
    public LinkShape? Link { get; init; }

    /// <summary>The two phases, in the order in which they run.</summary>
    public IReadOnlyList<BenchTest> Tests { get; } =
        [new(TestKind.Prefill, Prefill, 0, 1), new(TestKind.Decode, Decode, Prefill, 1)];

    /// <summary>Layers on the first device, split by split: none, every <see cref="Step"/>, and all.</summary>
    public IEnumerable<int> LayersOnA(int numLayers) =>
        Enumerable.Range(0, numLayers).Where(layers => layers % Step == 0).Append(numLayers);
}

/// <summary>One of the two devices.</summary>
/// <param name="Record">What it is.</param>
internal sealed record SplitDevice(LabDevice Record)
{
    /// <summary>E.g. <c>worker-0/cpu, 2 threads</c>.</summary>
    public override string ToString() =>
        $"{Record.Worker}/{Record.Device}{(Record.Threads == 0 ? "" : $", {Record.Threads} {(Record.Threads == 1 ? "thread" : "threads")}")}";
}
