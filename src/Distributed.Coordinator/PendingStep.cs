using Distributed.Cluster;
using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator;

/// <summary>
/// A step and whoever waits for its result. It is told once how the step ended, by the thread that found out and is needed for the
/// next result: it must not block.
/// </summary>
/// <param name="step">The step; the pipeline numbers it.</param>
internal abstract class PendingStep(Step step)
{
    /// <summary>The step.</summary>
    public Step Step { get; } = step;

    /// <summary>When it was asked for, on this node's clock, ns.</summary>
    public long AskedNs { get; } = NodeClock.Now;

    /// <summary>When it was handed to the transport, ns.</summary>
    public long HandedNs { get; set; }

    /// <summary>The step has come through, or failed on a stage that goes on.</summary>
    public abstract void Completed(StepResult result);

    /// <summary>The pipeline has failed.</summary>
    public abstract void Failed(StageFailureException error);
}

/// <summary>A step that is waited for as a task.</summary>
/// <param name="step">The step.</param>
internal sealed class AwaitedStep(Step step) : PendingStep(step)
{
    private readonly TaskCompletionSource<StepResult> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The result.</summary>
    public Task<StepResult> Result => _completion.Task;

    /// <inheritdoc/>
    public override void Completed(StepResult result) => _completion.TrySetResult(result);

    /// <inheritdoc/>
    public override void Failed(StageFailureException error) => _completion.TrySetException(error);
}
