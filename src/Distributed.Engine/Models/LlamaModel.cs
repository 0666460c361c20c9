using Distributed.Core;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// Llama (Touvron et al. 2023) and those shaped like it: RMS norm before attention and before a SwiGLU network, rotary positions,
/// grouped-query attention, no biases.
/// </summary>
internal sealed class LlamaModel : Model
{
    private readonly Embedding? _embedding;
    private readonly RotaryAngles _angles;
    private readonly (Attention Attention, FeedForward FeedForward)[] _layers;
    private readonly LmHead? _head;

    public LlamaModel(StageWeights weights)
    {
        var (config, spec) = (weights.Config, weights.Spec);
        _embedding = spec.HasEmbedding ? new Embedding(weights[TensorNames.TokenEmbedding]) : null;
        _angles = new RotaryAngles(config.Rope, weights.Find(TensorNames.RopeFactors)?.Tensor, spec.MaxBatchTokens);
        _layers = weights.ForLayers(layer => (new Attention(weights, layer), new FeedForward(weights, layer)));
        _head = spec.HasHead ? new LmHead(weights) : null;
    }

    /// <inheritdoc/>
    public override void Embed(Workspace work) => _embedding!.Forward(work);

    /// <inheritdoc/>
    public override void RunLayers(Workspace work)
    {
        if (_layers.Length > 0)
            _angles.Upload(work);
        foreach (var (attention, feedForward) in _layers)
        {
            attention.Forward(work);
            feedForward.Forward(work);
        }
    }

    /// <inheritdoc/>
    public override void ComputeLogits(Workspace work, Span<float> logits) => _head!.Forward(work, logits);
}
