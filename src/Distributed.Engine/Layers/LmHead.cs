using Distributed.Core;
using Distributed.Engine.Models;

namespace Distributed.Engine.Layers;

/// <summary>Logits of the wanted tokens: gathered hidden states [outputs, HiddenSize], normed → [outputs, VocabSize].</summary>
internal sealed class LmHead(StageWeights weights)
{
    private readonly float _eps = weights.Config.RmsNormEps;
    private readonly Weight _norm = weights[TensorNames.OutputNorm];

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
            work.Backend.NormMatMul(work.Head, count, _norm, _eps, _output, work.HeadOutputs);
            work.Backend.Download(work.Logits, count, logits[..(count * vocabulary)]);
            outputs = outputs[count..];
            logits = logits[(count * vocabulary)..];
        }
    }
}
