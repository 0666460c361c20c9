using Distributed.Core;

namespace Distributed.Engine.Layers;

/// <summary>hidden += scale × norm(weight · input + bias): [tokens, n] → [tokens, HiddenSize].</summary>
/// <param name="weight">[HiddenSize, n]</param>
/// <param name="bias">[HiddenSize]; null for none.</param>
/// <param name="norm">The norm behind the product; null for none.</param>
/// <param name="scale">The factor.</param>
internal sealed class Residual(Weight weight, Weight? bias, Norm? norm, float scale)
{
    private readonly Weight[] _weights = [weight];

    /// <summary>Adds to the hidden states of the batch.</summary>
    public void Add(Workspace work, Activations input)
    {
        var (backend, tokens) = (work.Backend, work.Batch.Count);
        if (norm is null && scale == 1)
        {
            backend.MatMulAdd(input, tokens, weight, work.Hidden);
            if (bias is not null)
                backend.AddBias(work.Hidden, tokens, bias);
            return;
        }
        backend.NormMatMul(input, tokens, null, _weights, work.BranchOutput);
        if (bias is not null)
            backend.AddBias(work.Branch, tokens, bias);
        if (norm is not null)
            backend.Normalize(work.Branch, tokens, work.Branch.Columns, norm, work.Branch);
        backend.AddScaled(work.Branch, tokens, scale, work.Hidden);
    }
}
