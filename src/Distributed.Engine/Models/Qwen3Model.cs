using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// Qwen3 (Yang et al. 2025), dense or a mixture of experts: queries and keys are normed head by head before they are turned; the
/// weights of a token's experts add up to 1.
/// </summary>
internal static class Qwen3Model
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
                    weights, layer, weights.RmsNorm(layer, "attn_norm"), angles, headNorm: name => weights.RmsNorm(layer, name)),
                weights.Config.Experts is { } experts
                    ? new Experts(weights, layer, weights.RmsNorm(layer, "ffn_norm"), overChosen: experts.OverChosen)
                    : new FeedForward(weights, layer, weights.RmsNorm(layer, "ffn_norm")),
            ],
            head: () => new LmHead(weights, weights.RmsNorm(TensorNames.OutputNorm)));
    }
}
