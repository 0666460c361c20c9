using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// Qwen2 and Qwen2.5 (Yang et al. 2024): RMS norm before attention, whose queries, keys and values have biases, and before a SwiGLU
/// network.
/// </summary>
internal static class Qwen2Model
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
                new Attention(weights, layer, weights.RmsNorm(layer, "attn_norm"), angles),
                new FeedForward(weights, layer, weights.RmsNorm(layer, "ffn_norm")),
            ],
            head: () => new LmHead(weights, weights.RmsNorm(TensorNames.OutputNorm)));
    }
}
