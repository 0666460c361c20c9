using Distributed.Core;
using Distributed.Engine.Models;

namespace Distributed.Engine.Layers;

/// <summary>
/// hidden += down · (activation(gate · x) × (up · x)) with x the normed hidden state:
/// [tokens, HiddenSize] → twice [tokens, IntermediateSize] → [tokens, HiddenSize]. A model without a gate has activation(up · x).
/// Biases are added wherever the model has them.
/// </summary>
internal sealed class FeedForward : BranchLayer
{
    private readonly Norm? _norm;
    private readonly Activation _activation;
    private readonly bool _isGated;
    private readonly Weight[] _in;
    private readonly Weight?[] _biases;
    private readonly Residual _down;

    /// <param name="weights">The stage's weights.</param>
    /// <param name="layer">The layer's number in the model.</param>
    /// <param name="norm">The norm before; null for none.</param>
    /// <param name="activation">What stands between the matrices.</param>
    /// <param name="postNorm">The norm of what is added; null for none.</param>
    /// <param name="residualScale">The factor on what is added.</param>
    public FeedForward(
        StageWeights weights, int layer, Norm? norm, Activation activation = Activation.Silu, Norm? postNorm = null,
        float residualScale = 1)
    {
        _norm = norm;
        _activation = activation;
        string[] names = weights.Find(layer, "ffn_gate.weight") is null ? ["ffn_up"] : ["ffn_gate", "ffn_up"];
        _isGated = names.Length == 2;
        _in = [.. names.Select(name => weights[layer, $"{name}.weight"])];
        _biases = [.. names.Select(name => weights.Find(layer, $"{name}.bias"))];
        _down = new Residual(weights[layer, "ffn_down.weight"], weights.Find(layer, "ffn_down.bias"), postNorm, residualScale);
    }

    /// <summary>Computes all but the last product.</summary>
    public override void Compute(Workspace work)
    {
        var (backend, tokens) = (work.Backend, work.Batch.Count);
        backend.NormMatMul(work.Hidden, tokens, _norm, _in, work.GateUp.AsSpan(0, _in.Length));
        for (var i = 0; i < _biases.Length; i++)
            if (_biases[i] is { } bias)
                backend.AddBias(work.GateUp[i], tokens, bias);
        backend.Activate(_activation, work.Gate, _isGated ? work.Up : null, tokens);
    }

    /// <inheritdoc/>
    public override void Add(Workspace work) => _down.Add(work, work.Gate);
}
