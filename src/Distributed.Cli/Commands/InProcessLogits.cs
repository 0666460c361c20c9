using System.Runtime.InteropServices;
using Distributed.Cli.Output;
using Distributed.Cluster.Config;
using Distributed.Core;
using Distributed.Engine;
using Distributed.Engine.KvCache;
using Distributed.Worker;

namespace Distributed.Cli.Commands;

/// <summary>All layers in this process, without any worker: what every split must equal, bit for bit.</summary>
internal sealed class InProcessLogits : LogitsSource
{
    private readonly Backend _backend;
    private readonly Stage _stage;
    private readonly byte[] _logits;

    private InProcessLogits(Backend backend, Stage stage, byte[] logits) => (_backend, _stage, _logits) = (backend, stage, logits);

    /// <summary>Loads a model where there is room for it.</summary>
    /// <param name="model">The model; it must stay open.</param>
    /// <param name="config">Context, KV type and batch.</param>
    /// <param name="device">What computes.</param>
    /// <param name="cancellation">Ends loading.</param>
    /// <exception cref="InvalidInputException">More is needed than is free.</exception>
    public static InProcessLogits Load(ModelFile model, ClusterConfig config, Device device, CancellationToken cancellation)
    {
        var context = config.ContextFor(model.Config);
        var spec = new StageSpec(
            0, model.Config.NumLayers, HasEmbedding: true, HasHead: true, config.MaxBatchTokens, config.KvType,
            StageSpec.BlocksFor(context), context);
        var logitsBytes = checked(config.MaxBatchTokens * model.Config.VocabSize * sizeof(float));
        Check(model, StageMemoryForecast.Forecast(model, spec), logitsBytes, device);
        var backend = device.CreateBackend();
        Stage? stage = null;
        try
        {
            stage = Stage.Load(model, backend, spec, null, cancellation);
            return new InProcessLogits(backend, stage, new byte[logitsBytes]);
        }
        catch
        {
            stage?.Dispose();
            backend.Dispose();
            throw;
        }
    }

    private static void Check(ModelFile model, StageMemory forecast, long logits, Device device)
    {
        var (needed, free) = (forecast.Total + logits, device.MemoryLimit);
        if (needed > free)
        {
            var where = device.Name == DeviceInventory.Cpu ? "memory" : $"the memory of {device.Name}";
            throw new InvalidInputException(
                "model", model.Path,
                $"needs {Units.Bytes(needed)} in this process (weights {Units.Bytes(forecast.Weights + forecast.LmHead)}, KV cache "
                + $"{Units.Bytes(forecast.KvCache)}, scratch {Units.Bytes(forecast.Activations + forecast.Scratch)}, logits {Units.Bytes(logits)}), "
                + $"but {Units.Bytes(free)} of {where} are free for it; a shorter --context takes less");
        }
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
