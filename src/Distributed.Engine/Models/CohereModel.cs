using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// Command R and Command R7B (Cohere 2024): attention and a SwiGLU network read the same LayerNorm without a bias; logits have a
/// factor. The larger Command R+ norms each head; in the second kind three layers of four have positions and a window, the fourth
/// neither.
/// </summary>
internal static class CohereModel
{
    private const int LayersPerGlobalOne = 4;

    /// <summary>Puts a stage's layers together.</summary>
    public static Model BuildCommandR(StageWeights weights)
    {
        var angles = new RotaryAngles(weights);
        return Build(weights, angles, (layer, norm) => new Attention(
            weights, layer, norm, angles,
            headNorm: weights.Find(layer, "attn_q_norm.weight") is null ? null : name => weights.LayerNorm(layer, name)));
    }

    /// <summary>Puts a stage's layers together.</summary>
    public static Model BuildCohere2(StageWeights weights)
    {
        var angles = new RotaryAngles(weights, weights.Find(TensorNames.RopeFactors));
        var period = weights.Config.LayersPerGlobalOne ?? LayersPerGlobalOne;
        return Build(weights, angles, (layer, norm) => (layer + 1) % period == 0
            ? new Attention(weights, layer, norm, angles: null)
            : new Attention(weights, layer, norm, angles, window: weights.Config.SlidingWindow));
    }

    private static Model Build(StageWeights weights, RotaryAngles angles, Func<int, Norm, Attention> attention) => new(
        weights,
        embedding: () => new Embedding(weights),
        [angles],
        layer: layer =>
        {
            var norm = weights.LayerNorm(layer, "attn_norm");
            return [new ParallelBranches(attention(layer, norm), new FeedForward(weights, layer, norm))];
        },
        head: () => new LmHead(weights, weights.FinalLayerNorm(), scale: weights.Config.LogitScale ?? 1));
}
