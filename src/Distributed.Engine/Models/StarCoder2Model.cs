using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// StarCoder2 (Lozhkov et al. 2024): LayerNorm before attention and before a GELU network without a gate, biases everywhere.
/// </summary>
internal static class StarCoder2Model
{
    /// <summary>Puts a stage's layers together.</summary>
    public static Model Build(StageWeights weights)
    {
        var angles = new RotaryAngles(weights);
        return new Model(
            weights,
            embedding: () => new Embedding(weights),
            [angles],
            layer: layer =>
            [
                new Attention(weights, layer, weights.LayerNorm(layer, "attn_norm"), angles),
                new FeedForward(weights, layer, weights.LayerNorm(layer, "ffn_norm"), Activation.Gelu),
            ],
            head: () => new LmHead(weights, weights.FinalLayerNorm()));
    }
}
