using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// OLMo 2 and 3 (Walsh et al. 2025): no norms before attention and a SwiGLU network but behind them, and of all queries, and all
/// keys, of a token together. OLMo 3 has a window in three layers of four, whose angles are not scaled.
/// </summary>
internal static class Olmo2Model
{
    private const int LayersPerGlobalOne = 4;

    /// <summary>Puts a stage's layers together.</summary>
    public static Model Build(StageWeights weights)
    {
        var config = weights.Config;
        var angles = new RotaryAngles(weights);
        var localAngles = new RotaryAngles(weights, isLocal: true);
        return new Model(
            weights,
            embedding: () => new Embedding(weights),
            [angles, localAngles],
            layer: layer =>
            [
                new Attention(
                    weights, layer, norm: null, IsLocal(layer) ? localAngles : angles,
                    headNorm: name => weights.RmsNorm(layer, name),
                    normWholeWidth: true,
                    window: IsLocal(layer) ? config.SlidingWindow : null,
                    postNorm: weights.RmsNorm(layer, "post_attention_norm")),
                new FeedForward(weights, layer, norm: null, postNorm: weights.RmsNorm(layer, "post_ffw_norm")),
            ],
            head: () => new LmHead(weights, weights.RmsNorm(TensorNames.OutputNorm)));

        bool IsLocal(int layer) =>
            config.SlidingWindow is not null && (layer + 1) % (config.LayersPerGlobalOne ?? LayersPerGlobalOne) != 0;
    }
}
