using System.Diagnostics;
using System.Threading.Channels;
using Distributed.Cluster.Protocol;

namespace Distributed.Worker;

/// <summary>The way out of a stage for results and failures. One watcher at a time, the coordinator; a new one takes the place of the old.</summary>
public sealed class StageWatch
{
    private const int QueueLength = 64;

    private readonly Lock _lock = new();
    private Channel<StageEvent>? _watcher;
    private long _unwatchedSince = Stopwatch.GetTimestamp();
    private bool _closed;

    /// <summary>For how long nobody has watched; zero while somebody does.</summary>
    public TimeSpan Unwatched
    {
        get
        {
            lock (_lock)
            {
                return _watcher is null ? Stopwatch.GetElapsedTime(_unwatchedSince) : TimeSpan.Zero;
            }
        }
    }

    /// <summary>Starts watching; ends when the stage does or another watcher comes.</summary>
    public ChannelReader<StageEvent> Open()
    {
        lock (_lock)
        {
            _watcher?.Writer.TryComplete();
            _watcher = Channel.CreateBounded<StageEvent>(QueueLength);
            if (_closed)
                _watcher.Writer.TryComplete();
            return _watcher.Reader;
        }
    }

    /// <summary>Stops watching.</summary>
    public void Leave(ChannelReader<StageEvent> reader)
    {
        lock (_lock)
        {
            if (_watcher?.Reader != reader)
                return;
            _watcher.Writer.TryComplete();
            _watcher = null;
            _unwatchedSince = Stopwatch.GetTimestamp();
        }
    }

    /// <summary>Gives an event to the watcher, waiting while it is behind. Without a watcher nobody is left to want it.</summary>
    public async ValueTask PublishAsync(StageEvent stageEvent, CancellationToken cancellation)
    {
        Channel<StageEvent>? watcher;
        lock (_lock)
        {
            watcher = _watcher;
        }

        try
        {
            if (watcher is not null)
                await watcher.Writer.WriteAsync(stageEvent, cancellation);
        }
        catch (ChannelClosedException)
        {
            // The watcher left meanwhile.
        }
    }

    /// <summary>Ends the watcher's stream for good.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _closed = true;
            _watcher?.Writer.TryComplete();
        }
    }
}
