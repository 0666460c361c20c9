using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// StableLM and StableLM 2 (Bellagente et al. 2024): LayerNorm, part of each head rotated. The larger ones norm each head of queries
/// and keys, and their feed-forward network, without a norm of its own, reads what attention reads.
/// </summary>
internal static class StableLmModel
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
            {
                var norm = weights.LayerNorm(layer, "attn_norm");
                var attention = new Attention(weights, layer, norm, angles, headNorm: HeadNorm(weights, layer));
                return weights.Find(layer, "ffn_norm.weight") is null
                    ? [new ParallelBranches(attention, new FeedForward(weights, layer, norm))]
                    : [attention, new FeedForward(weights, layer, weights.LayerNorm(layer, "ffn_norm"))];
            },
            head: () => new LmHead(weights, weights.FinalLayerNorm()));
    }

    private static Func<string, Norm>? HeadNorm(StageWeights weights, int layer) =>
        weights.Find(layer, "attn_q_norm.weight") is null ? null : name => weights.LayerNorm(layer, name);
}
