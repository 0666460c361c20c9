using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// gpt-oss (OpenAI 2025): biases everywhere, attention with sinks (Xiao et al. 2023), experts with a clamped gate; every other
/// layer, from the first, sees a window.
/// </summary>
internal static class GptOssModel
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
                    window: layer % 2 == 0 ? weights.Config.SlidingWindow : null,
                    sinks: weights[layer, "attn_sinks.weight"]),
                new Experts(weights, layer, weights.RmsNorm(layer, "post_attention_norm"), Activation.ClampedSwish),
            ],
            head: () => new LmHead(weights, weights.RmsNorm(TensorNames.OutputNorm)));
    }
}
