using System.Collections.Concurrent;
using Distributed.Grains;

namespace Distributed.Coordinator.Sessions;

/// <summary>
/// Writes sessions to their grains behind the decode loop's back: a change marks a session, and a loop of its own writes what
/// is marked, many changes in one. Nobody but <see cref="FlushAsync"/> waits for a grain.
/// </summary>
public sealed class SessionRecorder : IAsyncDisposable
{
    // Sessions that may be marked at once; with a storage that hangs, more are left out until they change again.
    private const int MaxMarked = 1024;
    private const int MaxWrites = 16;
    private static readonly TimeSpan FlushPoll = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan WriteTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(2);
    private readonly IGrainFactory _grains;
    private volatile KvLayout _layout;
    private readonly TimeSpan _interval;
    private readonly ConcurrentDictionary<Session, long> _marked = new();
    private readonly ConcurrentDictionary<Session, bool> _writing = new();
    private readonly ConcurrentDictionary<string, SessionState> _entered = new();
    private readonly SemaphoreSlim _soon = new(0, 1);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;
    private volatile string? _unwritten;

    /// <param name="grains">The way to the grains.</param>
    /// <param name="layout">Where the pipeline's KV cache lies.</param>
    /// <param name="interval">How long changes may wait to be written together.</param>
    public SessionRecorder(IGrainFactory grains, KvLayout layout, TimeSpan interval)
    {
        _grains = grains;
        _layout = layout;
        _interval = interval;
        _loop = Task.Run(LoopAsync);
    }

    /// <summary>Where the KV cache lies of what is written from now on.</summary>
    public void MoveTo(KvLayout layout) => _layout = layout;

    /// <summary>How many sessions have changes that are not written.</summary>
    public int Pending => _marked.Count;

    /// <summary>Why what was written last could not be; null while all is well.</summary>
    public string? Unwritten => _unwritten;

    /// <summary>Writing has begun to fail, with the reason; null: it goes well again.</summary>
    public event Action<string?>? UnwrittenChanged;

    /// <summary>Marks a session as changed. Takes no time and never fails.</summary>
    /// <param name="session">The session.</param>
    /// <param name="soon">Write without waiting for the interval's end.</param>
    public void Changed(Session session, bool soon = false)
    {
        if (_marked.ContainsKey(session) || _marked.Count < MaxMarked)
            _marked[session] = session.Revision;
        if (soon)
            Wake();
    }

    /// <summary>Waits until every change made so far is written.</summary>
    /// <exception cref="OperationCanceledException">It took too long for the caller.</exception>
    public async Task FlushAsync(CancellationToken cancellation)
    {
        while (!_marked.IsEmpty)
        {
            Wake();
            await Task.Delay(FlushPoll, cancellation);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        using var timeout = new CancellationTokenSource(StopTimeout);
        try
        {
            await FlushAsync(timeout.Token);
        }
        catch (OperationCanceledException)
        {
            // A storage that hangs does not keep the coordinator from stopping.
        }

        await _stop.CancelAsync();
        await _loop;
        _soon.Dispose();
        _stop.Dispose();
    }

    private void Wake()
    {
        try
        {
            if (_soon.CurrentCount == 0)
                _soon.Release();
        }
        catch (Exception error) when (error is SemaphoreFullException or ObjectDisposedException)
        {
            // Another thread was quicker to wake the loop, or there is none any more.
        }
    }

    private async Task LoopAsync()
    {
        try
        {
            while (true)
            {
                await _soon.WaitAsync(_interval, _stop.Token);
                foreach (var session in _marked.Keys)
                {
                    // One write of a session at a time; what changes meanwhile goes with the next.
                    if (_writing.Count < MaxWrites && _writing.TryAdd(session, true))
                        _ = Task.Run(() => WriteAsync(session));
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    private async Task WriteAsync(Session session)
    {
        var from = 0;
        try
        {
            // Written by another task since the loop looked.
            if (!_marked.TryGetValue(session, out var marked))
                return;
            var record = session.TakeChanges(_layout, out from);
            var grain = _grains.GetGrain<ISessionGrain>(session.Id);
            var known = await grain.RecordAsync(record, from).WaitAsync(WriteTimeout, _stop.Token);
            if (known < from)
            {
                session.Unrecorded(known);
                return;
            }

            await EnterAsync(record);
            Note(null);
            // Stays marked when it has changed since.
            _marked.TryRemove(KeyValuePair.Create(session, marked));
        }
        catch (Exception error) when (error is not OutOfMemoryException)
        {
            // Whatever a storage may throw, the session stays marked and is written again.
            session.Unrecorded(from);
            if (!_stop.IsCancellationRequested)
                Note(error.Message);
        }
        finally
        {
            _writing.TryRemove(session, out _);
        }
    }

    // Told once, not with every write of every session.
    private void Note(string? reason)
    {
        var before = Interlocked.Exchange(ref _unwritten, reason);
        if (before is null != reason is null)
            UnwrittenChanged?.Invoke(reason);
    }

    private async Task EnterAsync(SessionRecord record)
    {
        if (_entered.TryGetValue(record.Id, out var entered) && entered == record.State)
            return;
        var directory = _grains.GetGrain<ISessionDirectoryGrain>(ISessionDirectoryGrain.Key);
        var dropped = await directory.EnterAsync(record.Id, record.State).WaitAsync(WriteTimeout, _stop.Token);
        _entered[record.Id] = record.State;
        if (record.State == SessionState.Ended)
            _entered.TryRemove(record.Id, out _);
        foreach (var id in dropped)
            await _grains.GetGrain<ISessionGrain>(id).ForgetAsync().WaitAsync(WriteTimeout, _stop.Token);
    }
}
