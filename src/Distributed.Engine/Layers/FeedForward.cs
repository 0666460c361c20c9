using Distributed.Core;
using Distributed.Engine.Models;

namespace Distributed.Engine.Layers;

/// <summary>
/// hidden += down · (silu(gate · x) × (up · x)) with x the normed hidden state:
/// [tokens, HiddenSize] → twice [tokens, IntermediateSize] → [tokens, HiddenSize].
/// </summary>
internal sealed class FeedForward(StageWeights weights, int layer)
{
    private readonly float _eps = weights.Config.RmsNormEps;
    private readonly Weight _norm = weights[layer, "ffn_norm.weight"];
    private readonly Weight _down = weights[layer, "ffn_down.weight"];
    private readonly Weight[] _gateUp = [weights[layer, "ffn_gate.weight"], weights[layer, "ffn_up.weight"]];

    /// <summary>Adds the network's output to the hidden states of the batch.</summary>
    public void Forward(Workspace work)
    {
        var (backend, tokens) = (work.Backend, work.Batch.Count);
        backend.NormMatMul(work.Hidden, tokens, _norm, _eps, _gateUp, work.GateUp);
        backend.SwiGlu(work.Gate, work.Up, tokens);
        backend.MatMulAdd(work.Gate, tokens, _down, work.Hidden);
    }
}
