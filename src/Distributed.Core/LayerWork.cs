namespace Distributed.Core;

/// <summary>What a layer has to do besides products and attention, so that measured times carry over from one shape to another.</summary>
public static class LayerWork
{
    /// <summary>Values of one token that norms, rotations, copies into the KV cache, activations and sums of one layer touch.</summary>
    public static double ValuesPerToken(ModelConfig config)
    {
        var ffn = config.Experts is { } experts ? experts.PerToken * experts.IntermediateSize : config.IntermediateSize;
        return (4.0 * config.HiddenSize) + (2.0 * (config.QuerySize + config.KvSize)) + (3.0 * ffn);
    }
}
