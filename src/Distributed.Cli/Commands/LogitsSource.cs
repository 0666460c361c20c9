using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary>Something that computes the logits of one sequence, in order.</summary>
internal abstract class LogitsSource : IAsyncDisposable
{
    /// <summary>Computes the logits behind each of some tokens.</summary>
    /// <param name="start">The position of the first one; those before it have been computed.</param>
    /// <param name="tokens">Token ids, at most the configured batch.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>float32, little-endian, [tokens, VocabSize]; valid until the next call.</returns>
    public abstract Task<ReadOnlyMemory<byte>> ComputeAsync(int start, ReadOnlyMemory<int> tokens, CancellationToken cancellation);

    /// <inheritdoc/>
    public abstract ValueTask DisposeAsync();

    /// <summary>The most tokens in one step whose logits still fit one message between nodes, with room to spare.</summary>
    public static int BatchTokens(ClusterConfig config, ModelConfig model, int tokens) =>
        Math.Clamp(NodeChannel.MaxMessageBytes / 2 / HiddenStateCodec.Bytes(model.VocabSize), 1, Math.Min(tokens, config.MaxBatchTokens));
}
