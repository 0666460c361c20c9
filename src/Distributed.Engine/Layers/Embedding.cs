using Distributed.Core;

namespace Distributed.Engine.Layers;

/// <summary>Token ids [tokens] → hidden states [tokens, HiddenSize].</summary>
/// <param name="table">[VocabSize, HiddenSize]</param>
internal sealed class Embedding(Weight table)
{
    /// <summary>Fills the hidden states of the batch.</summary>
    public void Forward(Workspace work) => work.Backend.Embed(work.Batch.Tokens, table, work.Hidden);
}
