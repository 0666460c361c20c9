using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// Llama (Touvron et al. 2023), and Mistral and Mixtral (Jiang et al. 2023, 2024), whose files bear its name: RMS norm before
/// attention and before a SwiGLU network or a mixture of such, rotary positions, grouped-query attention.
/// </summary>
internal static class LlamaModel
{
    /// <summary>Puts a stage's layers together.</summary>
    public static Model Build(StageWeights weights)
    {
        var angles = new RotaryAngles(weights, weights.Find(TensorNames.RopeFactors));
        return new Model(
            weights,
            embedding: () => new Embedding(weights),
            [angles],
            layer: layer =>
            [
                new Attention(weights, layer, weights.RmsNorm(layer, "attn_norm"), angles),
                weights.Config.Experts is null
                    ? new FeedForward(weights, layer, weights.RmsNorm(layer, "ffn_norm"))
                    : new Experts(weights, layer, weights.RmsNorm(layer, "ffn_norm")),
            ],
            head: () => new LmHead(weights, weights.RmsNorm(TensorNames.OutputNorm)));
    }
}
