using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// SmolLM3 (Bakouch et al. 2025): Llama's layers, every fourth of them without positions.
/// </summary>
internal static class SmolLm3Model
{
    private const int LayersPerOneWithoutPositions = 4;

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
                new Attention(
                    weights, layer, weights.RmsNorm(layer, "attn_norm"), (layer + 1) % LayersPerOneWithoutPositions == 0 ? null : angles,
                    scale: weights.Config.AttentionScale),
                new FeedForward(weights, layer, weights.RmsNorm(layer, "ffn_norm")),
            ],
            head: () => new LmHead(weights, weights.RmsNorm(TensorNames.OutputNorm)));
    }
}
