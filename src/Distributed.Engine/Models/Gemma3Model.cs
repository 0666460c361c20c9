using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// Gemma 3 (Kamath et al. 2025): as Gemma 2, with normed queries and keys instead of a cap on scores; five layers of six see a
/// window, and those turn by angles of their own.
/// </summary>
internal static class Gemma3Model
{
    private const int LayersPerGlobalOne = 6;
    private const int LayersOf27B = 62;

    /// <summary>Puts a stage's layers together.</summary>
    public static Model Build(StageWeights weights)
    {
        var config = weights.Config;
        var globalAngles = new RotaryAngles(weights);
        var localAngles = new RotaryAngles(weights, isLocal: true);
        // The largest divides by the root of what a head would have if all heads together were as wide as the hidden state.
        var scale = config.AttentionScale
            ?? (config.NumLayers == LayersOf27B ? 1 / MathF.Sqrt((float)config.HiddenSize / config.NumHeads) : null);
        return new Model(
            weights,
            embedding: () => new Embedding(weights, MathF.Sqrt(config.HiddenSize)),
            [globalAngles, localAngles],
            layer: layer =>
            [
                new Attention(
                    weights, layer, weights.RmsNorm(layer, "attn_norm"), IsLocal(layer) ? localAngles : globalAngles,
                    headNorm: name => weights.RmsNorm(layer, name),
                    window: IsLocal(layer) ? config.SlidingWindow : null,
                    scale: scale,
                    softCap: config.AttentionSoftCap,
                    postNorm: weights.RmsNorm(layer, "post_attention_norm")),
                new FeedForward(
                    weights, layer, weights.RmsNorm(layer, "ffn_norm"), Activation.Gelu, weights.RmsNorm(layer, "post_ffw_norm")),
            ],
            head: () => new LmHead(weights, weights.RmsNorm(TensorNames.OutputNorm), softCap: config.LogitSoftCap));

        bool IsLocal(int layer) => config.SlidingWindow is not null && (layer + 1) % (config.LayersPerGlobalOne ?? LayersPerGlobalOne) != 0;
    }
}
