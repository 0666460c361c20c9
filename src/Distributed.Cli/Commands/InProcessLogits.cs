using System.Runtime.InteropServices;
using Distributed.Cluster.Config;
using Distributed.Core;
using Distributed.Cpu;
using Distributed.Engine;
using Distributed.Engine.KvCache;

namespace Distributed.Cli.Commands;

/// <summary>All layers in this process, without any worker: what every split must equal, bit for bit.</summary>
internal sealed class InProcessLogits : LogitsSource
{
    private readonly CpuBackend _backend;
    private readonly Stage _stage;
    private readonly byte[] _logits;

    /// <param name="model">The model; it must stay open.</param>
    /// <param name="config">Context, KV type and batch.</param>
    /// <param name="threads">Threads that compute.</param>
    public InProcessLogits(ModelFile model, ClusterConfig config, int threads)
    {
        var context = config.ContextFor(model.Config);
        var spec = new StageSpec(
            0, model.Config.NumLayers, HasEmbedding: true, HasHead: true, config.MaxBatchTokens, config.KvType,
            StageSpec.BlocksFor(context), context);
        _backend = new CpuBackend(threads);
        _stage = Stage.Load(model, _backend, spec);
        _logits = new byte[checked(config.MaxBatchTokens * model.Config.VocabSize * sizeof(float))];
    }

    /// <inheritdoc/>
    public override Task<ReadOnlyMemory<byte>> ComputeAsync(
        int start, ReadOnlyMemory<int> tokens, bool wanted, CancellationToken cancellation)
    {
        int[] outputs = wanted ? [.. Enumerable.Range(0, tokens.Length)] : [];
        var bytes = _logits.AsMemory(0, outputs.Length * _stage.Config.VocabSize * sizeof(float));
        _stage.Forward([new SequenceSlice(0, start, tokens.Length)], tokens.Span, outputs, [], MemoryMarshal.Cast<byte, float>(bytes.Span));
        return Task.FromResult<ReadOnlyMemory<byte>>(bytes);
    }

    /// <inheritdoc/>
    public override ValueTask DisposeAsync()
    {
        _stage.Dispose();
        _backend.Dispose();
        return ValueTask.CompletedTask;
    }
}
