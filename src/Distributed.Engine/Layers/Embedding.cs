using Distributed.Core;
using Distributed.Engine.Models;

namespace Distributed.Engine.Layers;

/// <summary>Token ids [tokens] → hidden states [tokens, HiddenSize], times <paramref name="scale"/>.</summary>
internal sealed class Embedding(StageWeights weights, float scale = 1)
{
    private readonly Weight _table = weights[TensorNames.TokenEmbedding];

    /// <summary>Fills the hidden states of the batch.</summary>
    public void Forward(Workspace work)
    {
        work.Backend.Embed(work.Batch.Tokens, _table, work.Hidden);
        if (scale != 1)
            work.Backend.Scale(work.Hidden, work.Batch.Count, scale);
    }
}
