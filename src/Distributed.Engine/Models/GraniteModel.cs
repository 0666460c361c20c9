using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// Granite 3 (IBM 2024): Llama's layers with factors on embeddings, scores and what layers add, and a divisor of logits.
/// </summary>
internal static class GraniteModel
{
    /// <summary>Puts a stage's layers together.</summary>
    public static Model Build(StageWeights weights)
    {
        var config = weights.Config;
        var angles = new RotaryAngles(weights, weights.Find(TensorNames.RopeFactors));
        var residualScale = config.ResidualScale ?? 1;
        return new Model(
            weights,
            embedding: () => new Embedding(weights, config.EmbeddingScale ?? 1),
            [angles],
            layer: layer =>
            [
                new Attention(
                    weights, layer, weights.RmsNorm(layer, "attn_norm"), angles, scale: config.AttentionScale, residualScale: residualScale),
                new FeedForward(weights, layer, weights.RmsNorm(layer, "ffn_norm"), residualScale: residualScale),
            ],
            head: () => new LmHead(weights, weights.RmsNorm(TensorNames.OutputNorm), scale: 1 / (config.LogitScale ?? 1)));
    }
}
