namespace Distributed.Core;

/// <summary>What a stage will take of its device, known before anything is loaded.</summary>
public static class StageMemoryForecast
{
    /// <summary>The memory of a stage by part, from the same figures it allocates by.</summary>
    /// <param name="model">The model; only its header is read.</param>
    /// <param name="spec">The stage; its blocks are the whole room for contexts.</param>
    /// <exception cref="ArgumentOutOfRangeException">The model has no such layers.</exception>
    public static StageMemory Forecast(ModelFile model, StageSpec spec)
    {
        var config = model.Config;
        long weights = 0, head = 0;
        foreach (var (tensor, role, _) in StageTensors.For(model, spec))
        {
            if (role == TensorRole.Output)
                head += tensor.Bytes;
            else
                weights += tensor.Bytes;
        }
        var buffers = StageBuffers.For(config, spec);
        return new StageMemory(
            weights,
            head,
            KvBytes(config, spec),
            buffers.Bytes,
            buffers.InputScratchBytes);
    }

    /// <summary>Bytes of a stage's KV cache: keys and values of all blocks and layers.</summary>
    public static long KvBytes(ModelConfig config, StageSpec spec) =>
        2 * spec.KvType.Bytes(config.KvSize) * StageSpec.KvBlockTokens * spec.KvBlocks * spec.NumLayers;
}
