using Distributed.Cli.Bench;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Cli.Lab;

/// <summary>What <c>lab links</c> sends over each link.</summary>
/// <param name="Wire">The format of hidden states.</param>
/// <param name="StepBytes">Hidden states of one token, there and back.</param>
/// <param name="Steps">How often.</param>
/// <param name="ChunkTokens">Tokens of a chunk.</param>
/// <param name="ChunkBytes">Their hidden states, there and acknowledged.</param>
/// <param name="Chunks">How often.</param>
internal sealed record LinksPlan(WireType Wire, int StepBytes, int Steps, int ChunkTokens, int ChunkBytes, int Chunks)
{
    // What a chunk's hidden states take as float32, whole tokens.
    private const int ChunkValueBytes = 4 << 20;

    /// <summary>The bytes of a model's hidden states.</summary>
    public static LinksPlan For(WireType wire, ModelConfig model, int repeats)
    {
        var tokens = Math.Max(1, ChunkValueBytes / HiddenStateCodec.Bytes(model.HiddenSize));
        return new LinksPlan(
            wire, HiddenStateCodec.Bytes(wire, 1, model.HiddenSize), repeats, tokens, HiddenStateCodec.Bytes(wire, tokens, model.HiddenSize),
            Math.Max(1, repeats / 10));
    }
}

/// <summary>What <c>lab links</c> was made with.</summary>
/// <param name="Arguments">The command line, without the program's name.</param>
/// <param name="Model">The model whose hidden states have these sizes.</param>
/// <param name="Plan">What was sent.</param>
/// <param name="Config">The cluster.</param>
internal sealed class LinksSetup(IReadOnlyList<string> Arguments, string Model, LinksPlan Plan, ClusterConfig Config)
{
    /// <summary>The experiment.</summary>
    public string Experiment { get; } = "links";

    /// <summary>The command line.</summary>
    public IReadOnlyList<string> Arguments { get; } = Arguments;

    /// <summary>The model.</summary>
    public string Model { get; } = Model;

    /// <summary>What was sent.</summary>
    public LinksPlan Plan { get; } = Plan;

    /// <summary>The workers by name and address, in order.</summary>
    public IReadOnlyList<string> Workers { get; } = [.. Config.Workers.Select(worker => $"{worker.Name} {worker.Address}")];

    /// <summary>The version of the program.</summary>
    public string Version { get; } = typeof(LabFolder).Assembly.GetName().Version?.ToString(3) ?? "";

    /// <summary>When it began.</summary>
    public DateTimeOffset Date { get; } = DateTimeOffset.Now;

    /// <summary>Where the command ran.</summary>
    public Machine Machine { get; } = Machine.This;
}
