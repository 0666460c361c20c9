using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Core;
using Distributed.Worker;

namespace Distributed.Cli.Bench;

/// <summary>What to time, and how.</summary>
/// <param name="Tests">The tests; at least one.</param>
/// <param name="Threads">Numbers of threads; all tests run with each. A single 0 for a device that has none to choose.</param>
/// <param name="Repeats">Timed runs of each test.</param>
/// <param name="Batch">The most tokens in a step.</param>
/// <param name="Workers">Worker processes; 0 for none.</param>
/// <param name="KvType">The format of the KV cache.</param>
/// <param name="Wire">The format of hidden states between workers.</param>
/// <param name="Link">What the links between nodes are made to be; null to leave them as they are.</param>
internal sealed record BenchOptions(
    IReadOnlyList<BenchTest> Tests, int[] Threads, int Repeats, int Batch, int Workers, KvType KvType, WireType Wire, LinkShape? Link)
{
    /// <summary>What stages may take in each worker, in bytes; null for its share of what is free.</summary>
    public long? WorkerMemory { get; init; }

    /// <summary>The device that computes, in this process and in workers.</summary>
    public string Device { get; init; } = DeviceInventory.Cpu;

    /// <summary>The most sequences side by side.</summary>
    public int Sequences => Tests.Max(test => test.Sequences);

    /// <summary>The longest sequence, in tokens.</summary>
    public int Context => Tests.Max(test => test.Depth + test.Tokens);

    // Room for no more tokens than any step has.
    private int StepTokens => Math.Max(
        Sequences, Math.Min(Batch, Tests.Max(test => Math.Max(test.Depth, test.Kind == TestKind.Prefill ? test.Tokens : 1))));

    /// <summary>All layers of a model as one stage.</summary>
    /// <exception cref="InvalidInputException">
    /// A step of so many tokens or the KV type does not go with the model, or a test with workers is longer than its context.
    /// </exception>
    public StageSpec Stage(ModelConfig config)
    {
        var errors = new List<InputError>();
        if (StepTokens > StageBuffers.MaxTokens(config))
            errors.Add(new InputError("--batch", $"{StepTokens}", $"must be at most {StageBuffers.MaxTokens(config)} with {config.Name}"));
        if (Workers > 0)
            errors.AddRange(Tests.Select(test => TooLong(test, config)).OfType<InputError>().Distinct());
        if (KvType.Error(config.HeadDim) is { } error)
            errors.Add(error with { Key = "--kv-type" });
        return errors.Count > 0
            ? throw new InvalidInputException(errors)
            : new StageSpec(
                0, config.NumLayers, HasEmbedding: true, HasHead: true, StepTokens, KvType,
                Tests.Max(test => test.Sequences * StageSpec.BlocksFor(test.Depth + test.Tokens)), Context);
    }

    /// <summary>The same for workers, which are not in it yet; <see cref="Stage"/> has refused what does not fit the context.</summary>
    public ClusterConfig Cluster(ModelFile model) => new()
    {
        Model = model.Path,
        Context = Tests.Max(Length),
        Sequences = Sequences,
        MaxBatchTokens = StepTokens,
        KvType = KvType,
        Wire = Wire,
        Link = Link,
    };

    // A request's answer may be as long as the context has room, and its last token is drawn but not computed.
    private static int Length(BenchTest test) => test.Depth + test.Tokens + (test.Kind == TestKind.Decode ? 1 : 0);

    private static InputError? TooLong(BenchTest test, ModelConfig config)
    {
        var room = test.Tokens - (Length(test) - config.ContextLength);
        if (room >= test.Tokens)
            return null;
        var context = $"the context of {config.Name} is {config.ContextLength} tokens";
        return room < 1
            ? new InputError("--depth", $"{test.Depth}", $"leaves no room for a test with --workers: {context}")
            : new InputError(
                test.Kind == TestKind.Prefill ? "--prefill" : "--decode", $"{test.Tokens}",
                $"must be at most {room} with --workers{(test.Depth > 0 ? $" and --depth {test.Depth}" : "")}: {context}");
    }
}
