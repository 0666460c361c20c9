using Distributed.Core;
using Distributed.Engine.Models;

namespace Distributed.Engine.Layers;

/// <summary>Logits of the wanted tokens: gathered hidden states [outputs, HiddenSize], normed → [outputs, VocabSize].</summary>
/// <param name="weights">The stage's weights.</param>
/// <param name="norm">The final norm.</param>
/// <param name="scale">The factor on logits.</param>
/// <param name="softCap">The cap of logits; null for none.</param>
internal sealed class LmHead(StageWeights weights, Norm norm, float scale = 1, float? softCap = null)
{
    // With tied embeddings the output matrix is the embedding.
    private readonly Weight[] _output = [weights.Find(TensorNames.Output) ?? weights[TensorNames.TokenEmbedding]];

    /// <summary>Computes the logits of the batch's outputs, as many at once as the workspace has room for.</summary>
    public void Forward(Workspace work, Span<float> logits)
    {
        var outputs = work.Batch.Outputs;
        var vocabulary = work.Logits.Columns;
        while (!outputs.IsEmpty)
        {
            var count = Math.Min(outputs.Length, work.Head.MaxRows);
            work.Backend.Gather(work.Hidden, outputs[..count], work.Head);
            work.Backend.NormMatMul(work.Head, count, norm, _output, work.HeadOutputs);
            if (scale != 1)
                work.Backend.Scale(work.Logits, count, scale);
            if (softCap is { } cap)
                work.Backend.SoftCap(work.Logits, count, cap);
            work.Backend.Download(work.Logits, count, logits[..(count * vocabulary)]);
            outputs = outputs[count..];
            logits = logits[(count * vocabulary)..];
        }
    }
}
