using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// Gemma 2 (Riviere et al. 2024): norms before and behind attention and a GELU-gated network, soft caps on scores and logits,
/// embeddings times √HiddenSize; every other layer, from the first, sees a window.
/// </summary>
internal static class Gemma2Model
{
    private const int DefaultWindow = 4096;
    private const float AttentionSoftCap = 50;
    private const float LogitSoftCap = 30;
    private const int LayersOf27B = 46;

    /// <summary>Puts a stage's layers together.</summary>
    public static Model Build(StageWeights weights)
    {
        var config = weights.Config;
        var angles = new RotaryAngles(weights);
        var window = config.SlidingWindow ?? DefaultWindow;
        // The largest divides by the root of what a head would have if all heads together were as wide as the hidden state.
        var scale = config.AttentionScale
            ?? (config.NumLayers == LayersOf27B ? 1 / MathF.Sqrt((float)config.HiddenSize / config.NumHeads) : null);
        return new Model(
            weights,
            embedding: () => new Embedding(weights, MathF.Sqrt(config.HiddenSize)),
            [angles],
            layer: layer =>
            [
                new Attention(
                    weights, layer, weights.RmsNorm(layer, "attn_norm"), angles,
                    window: layer % 2 == 0 ? window : null,
                    scale: scale,
                    softCap: config.AttentionSoftCap ?? AttentionSoftCap,
                    postNorm: weights.RmsNorm(layer, "post_attention_norm")),
                new FeedForward(
                    weights, layer, weights.RmsNorm(layer, "ffn_norm"), Activation.Gelu, weights.RmsNorm(layer, "post_ffw_norm")),
            ],
            head: () => new LmHead(
                weights, weights.RmsNorm(TensorNames.OutputNorm), softCap: config.LogitSoftCap ?? LogitSoftCap));
    }
}
