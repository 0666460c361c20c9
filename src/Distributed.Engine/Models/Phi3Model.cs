using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// Phi-3, Phi-3.5 and Phi-4-mini (Abdin et al. 2024): Llama's layers with part of each head rotated. Versions for long contexts
/// (LongRoPE, Ding et al. 2024) divide the frequencies by one list of factors or by another, as the longest sequence is meant to
/// stay within the original context or not. The window in its files is not used.
/// </summary>
internal static class Phi3Model
{
    /// <summary>Puts a stage's layers together.</summary>
    public static Model Build(StageWeights weights)
    {
        var (config, spec) = (weights.Config, weights.Spec);
        var context = spec.Context ?? spec.KvBlocks * StageSpec.KvBlockTokens;
        var isLong = context > (config.Rope.OriginalContext ?? config.ContextLength);
        var angles = new RotaryAngles(weights, weights.Find(isLong ? TensorNames.LongRopeFactors : TensorNames.ShortRopeFactors));
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
