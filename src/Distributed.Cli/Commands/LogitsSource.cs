using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary>Something that computes the logits of one sequence, in order.</summary>
internal abstract class LogitsSource : IAsyncDisposable
{
    /// <summary>Loads a model where it is to be computed.</summary>
    /// <param name="terminal">Shows how far the workers have loaded.</param>
    /// <param name="model">The model; it must stay open.</param>
    /// <param name="config">Context, KV type and batch.</param>
    /// <param name="target">The workers that compute; null for this process.</param>
    /// <param name="flags">The device and the threads that compute in this process.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="InvalidInputException">It does not fit.</exception>
    public static async Task<LogitsSource> StartAsync(
        Terminal terminal, ModelFile model, ClusterConfig config, ClusterTarget? target, ParseResult flags, CancellationToken cancellation) =>
        target is null
            ? InProcessLogits.Load(model, config, LocalDevice.Open(flags), cancellation)
            : await LoadingBars.ShowAsync(terminal, progress => PipelineLogits.StartAsync(model, target.Config, progress, cancellation));

    /// <summary>Computes some tokens, and the logits behind each of them.</summary>
    /// <param name="start">The position of the first one; those before it have been computed.</param>
    /// <param name="tokens">Token ids, at most the configured batch.</param>
    /// <param name="wanted">Whether the logits are wanted; otherwise the tokens only are what later ones see.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>float32, little-endian, [tokens, VocabSize], valid until the next call; empty where they are not wanted.</returns>
    public abstract Task<ReadOnlyMemory<byte>> ComputeAsync(
        int start, ReadOnlyMemory<int> tokens, bool wanted, CancellationToken cancellation);

    /// <inheritdoc/>
    public abstract ValueTask DisposeAsync();

    /// <summary>The most tokens in one step whose logits still fit one message between nodes, with room to spare.</summary>
    public static int BatchTokens(ClusterConfig config, ModelConfig model, int tokens) =>
        Math.Clamp(NodeChannel.MaxMessageBytes / 2 / HiddenStateCodec.Bytes(model.VocabSize), 1, Math.Min(tokens, config.MaxBatchTokens));
}
