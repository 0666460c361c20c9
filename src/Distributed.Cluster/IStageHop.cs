using Distributed.Cluster.Protocol;

namespace Distributed.Cluster;

/// <summary>The sender's side of the way to a stage: a <see cref="ForwardStream"/>, or a copy where both stages are in one worker.</summary>
public interface IStageHop : IAsyncDisposable
{
    /// <summary>Completes when the way has ended: with null after it was let go of, else with what ended it.</summary>
    Task<StageFailureException?> Closed { get; }

    /// <summary>Sends a step, stamped with the moment on the receiver's clock; its hidden states may be used again when that is done.</summary>
    /// <exception cref="StageFailureException">The way is broken.</exception>
    Task SendAsync(Step step);

    /// <summary>Sends the order to free sequences.</summary>
    /// <exception cref="StageFailureException">The way is broken.</exception>
    Task SendAsync(Release release);

    /// <summary>Breaks it off, without waiting for the other stage.</summary>
    ValueTask AbortAsync();
}
