namespace Distributed.Engine.Layers;

/// <summary>A part of a model that changes the hidden states of the batch: [tokens, HiddenSize] → the same shape.</summary>
internal abstract class Layer
{
    /// <summary>Adds the layer's output to the hidden states.</summary>
    public abstract void Forward(Workspace work);
}

/// <summary>Branches that all read the same hidden states; what they give is added in their order.</summary>
internal sealed class ParallelBranches(params BranchLayer[] branches) : Layer
{
    /// <inheritdoc/>
    public override void Forward(Workspace work)
    {
        foreach (var branch in branches)
            branch.Compute(work);
        foreach (var branch in branches)
            branch.Add(work);
    }
}

/// <summary>A layer in two steps, so that two can read the same hidden states before either adds to them.</summary>
internal abstract class BranchLayer : Layer
{
    /// <summary>Computes from the hidden states what <see cref="Add"/> will add.</summary>
    public abstract void Compute(Workspace work);

    /// <summary>Adds the output to the hidden states.</summary>
    public abstract void Add(Workspace work);

    /// <inheritdoc/>
    public sealed override void Forward(Workspace work)
    {
        Compute(work);
        Add(work);
    }
}
