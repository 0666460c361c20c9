namespace Distributed.Coordinator.Sessions;

/// <summary>Takes down why a silo cannot go on. Orleans' own handler ends the process on the spot, with a stack trace for a message.</summary>
internal sealed class FatalEnd : IFatalErrorHandler
{
    private readonly TaskCompletionSource<string> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when the silo cannot go on, with the reason.</summary>
    public Task<string> Ended => _ended.Task;

    /// <inheritdoc/>
    public bool IsUnexpected(Exception exception) => exception is not ThreadAbortException;

    /// <inheritdoc/>
    public void OnFatalException(object? sender = null, string? context = null, Exception? exception = null) =>
        _ended.TrySetResult($"{context ?? "its silo has failed"}{(exception is null ? "" : $" ({exception.Message})")}");
}
