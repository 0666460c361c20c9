using Distributed.Core;
using Distributed.Engine.Models;

namespace Distributed.Engine.Layers;

/// <summary>
/// hidden += Σ weight × down_e · (activation(gate_e · x) × (up_e · x)) over the experts e that a token's router chooses, with x the
/// normed hidden state (Shazeer et al. 2017). Of the other experts nothing is read. Biases are added wherever the model has them.
/// </summary>
internal sealed class Experts : Layer
{
    private readonly Norm _norm;
    private readonly Activation _activation;
    private readonly bool _overChosen;
    private readonly Weight[] _router;
    private readonly Weight[] _gateUp;
    private readonly Weight[] _down;
    private readonly Weight? _routerBias;
    private readonly Weight?[] _gateUpBiases;
    private readonly Weight? _downBias;

    /// <param name="weights">The stage's weights.</param>
    /// <param name="layer">The layer's number in the model.</param>
    /// <param name="norm">The norm before.</param>
    /// <param name="activation">What stands between the matrices.</param>
    /// <param name="overChosen">The weights of a token's experts add up to 1; else they are those of a softmax over all experts.</param>
    public Experts(
        StageWeights weights, int layer, Norm norm, Activation activation = Activation.Silu, bool overChosen = true)
    {
        _norm = norm;
        _activation = activation;
        _overChosen = overChosen;
        _router = [weights[layer, "ffn_gate_inp.weight"]];
        _gateUp = [weights[layer, "ffn_gate_exps.weight"], weights[layer, "ffn_up_exps.weight"]];
        _down = [weights[layer, "ffn_down_exps.weight"]];
        _routerBias = weights.Find(layer, "ffn_gate_inp.bias");
        _gateUpBiases = [weights.Find(layer, "ffn_gate_exps.bias"), weights.Find(layer, "ffn_up_exps.bias")];
        _downBias = weights.Find(layer, "ffn_down_exps.bias");
    }

    /// <inheritdoc/>
    public override void Forward(Workspace work)
    {
        var (backend, tokens, choices) = (work.Backend, work.Batch.Count, work.Choices!);
        backend.Normalize(work.Hidden, tokens, work.Hidden.Columns, _norm, work.Branch);
        backend.NormMatMul(work.Branch, tokens, null, _router, work.RouterOutput);
        if (_routerBias is not null)
            backend.AddBias(work.Router, tokens, _routerBias);
        backend.ChooseExperts(work.Router, tokens, _overChosen, choices);

        backend.ExpertMatMul(work.Branch, perChoice: false, choices, _gateUp, work.GateUp);
        for (var i = 0; i < _gateUpBiases.Length; i++)
            if (_gateUpBiases[i] is { } bias)
                backend.AddExpertBias(work.GateUp[i], choices, bias);
        backend.Activate(_activation, work.Gate, work.Up, tokens * choices.PerToken);

        backend.ExpertMatMul(work.Gate, perChoice: true, choices, _down, work.BranchOutput);
        if (_downBias is not null)
            backend.AddExpertBias(work.Branch, choices, _downBias);
        backend.AddExperts(work.Branch, choices, work.Hidden);
    }
}
