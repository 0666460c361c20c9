using Distributed.Cluster;
using Distributed.Cluster.Protocol;

namespace Distributed.Worker;

/// <summary>
/// The way to the next stage where that is on this worker too: hidden states are copied into its inbox, without a socket. What the
/// stage behind refuses or loses ends the way as it ends a <see cref="ForwardStream"/>.
/// </summary>
public sealed class LocalHop : IStageHop
{
    private readonly StageRunner _next;
    private readonly string _sender;
    private readonly CancellationTokenSource _ending = new();
    private readonly TaskCompletionSource<StageFailureException?> _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _disposed;

    private LocalHop(StageRunner next, string sender)
    {
        (_next, _sender) = (next, sender);
        _next.Watch.GivenUp += OnGivenUp;
    }

    /// <inheritdoc/>
    public Task<StageFailureException?> Closed => _closed.Task;

    /// <summary>Opens the way and with it the chain of all stages behind.</summary>
    /// <param name="next">The stage.</param>
    /// <param name="hello">Who calls, and for which stage.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="StageFailureException">The stage or one behind it refuses.</exception>
    public static async Task<LocalHop> OpenAsync(StageRunner next, Hello hello, CancellationToken cancellation)
    {
        await next.AttachAsync(hello, cancellation);
        return new LocalHop(next, hello.Sender);
    }

    /// <inheritdoc/>
    public Task SendAsync(Step step)
    {
        step.SentNs = NodeClock.Now;
        return AcceptAsync(new StageFrame { Step = step.Copy() });
    }

    /// <inheritdoc/>
    public Task SendAsync(Release release) => AcceptAsync(new StageFrame { Release = release });

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 1)
            return;
        _next.Watch.GivenUp -= OnGivenUp;
        await _ending.CancelAsync();
        _closed.TrySetResult(null);
        await _next.DetachAsync();
        _ending.Dispose();
    }

    /// <inheritdoc/>
    public ValueTask AbortAsync() => DisposeAsync();

    private async Task AcceptAsync(StageFrame frame)
    {
        try
        {
            if (_closed.Task.IsCompleted)
                throw _next.Identity.Fail(FailureCode.HopLost, $"the way from {_sender} has ended");
            await _next.AcceptCheckedAsync(frame, _sender, _ending.Token);
        }
        catch (StageFailureException error)
        {
            frame.Step?.ReturnHidden();
            if (_closed.TrySetResult(error))
                await _next.Watch.PublishAsync(new StageEvent { Failure = error.Failure }, CancellationToken.None);
            throw;
        }
        catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException)
        {
            frame.Step?.ReturnHidden();
            throw _next.Identity.Fail(FailureCode.HopLost, $"the way from {_sender} has ended", error);
        }
    }

    private void OnGivenUp() => _closed.TrySetResult(_next.Watch.Failure);
}
