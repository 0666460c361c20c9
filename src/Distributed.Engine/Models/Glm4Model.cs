using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// GLM-4-0414 (Zhipu 2025): Llama's layers with norms behind attention and the network too, part of each head rotated, and biases on
/// queries, keys and values.
/// </summary>
internal static class Glm4Model
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
                new Attention(
                    weights, layer, weights.RmsNorm(layer, "attn_norm"), angles,
                    postNorm: weights.RmsNorm(layer, "post_attention_norm")),
                new FeedForward(
                    weights, layer, weights.RmsNorm(layer, "ffn_norm"), postNorm: weights.RmsNorm(layer, "post_ffw_norm")),
            ],
            head: () => new LmHead(weights, weights.RmsNorm(TensorNames.OutputNorm)));
    }
}
