namespace Distributed.Engine.Models;

/// <summary>An architecture's layers on one stage. Its parts are shared (<see cref="Layers"/>); a model says which, and in what order.</summary>
internal abstract class Model
{
    /// <summary>Fills the hidden states from the batch's token ids; on the first stage only.</summary>
    public abstract void Embed(Workspace work);

    /// <summary>Runs the stage's layers over the hidden states of the batch.</summary>
    public abstract void RunLayers(Workspace work);

    /// <summary>Computes the logits of the batch's outputs, [outputs, VocabSize]; on the last stage only.</summary>
    public abstract void ComputeLogits(Workspace work, Span<float> logits);
}
