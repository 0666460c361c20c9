using System.Diagnostics;
using System.Threading.Channels;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;

namespace Distributed.Worker;

/// <summary>The way out of a stage for results and failures. One watcher at a time, the coordinator; a new one takes the place of the old.</summary>
public sealed class StageWatch
{
    private const int QueueLength = 64;

    // Results with more bytes of logits go one at a time: as many of them as there may be events would fill the memory.
    private const int LargeBytes = 64 << 10;

    private readonly Lock _lock = new();
    private Watcher? _watcher;
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

    /// <summary>Why the last watcher was given up, and nothing may be fed to the stage until there is another; null where that is not so.</summary>
    public StageFailureException? Failure { get; private set; }

    /// <summary>The watcher has been given up: <see cref="Failure"/> says why.</summary>
    public event Action? GivenUp;

    /// <summary>Starts watching; ends when the stage does or another watcher comes.</summary>
    public Watcher Open()
    {
        var watcher = new Watcher();
        Watcher? before;
        bool closed;
        lock (_lock)
        {
            (before, _watcher, closed) = (_watcher, watcher, _closed);
            Failure = null;
        }

        before?.End();
        if (closed)
            watcher.End();
        return watcher;
    }

    /// <summary>Stops watching.</summary>
    public void Leave(Watcher watcher)
    {
        lock (_lock)
        {
            if (_watcher != watcher)
                return;
            _watcher = null;
            _unwatchedSince = Stopwatch.GetTimestamp();
        }

        watcher.End();
    }

    /// <summary>Gives a watcher up: whoever feeds the stage is told, too.</summary>
    public void GiveUp(Watcher watcher, StageFailureException failure)
    {
        lock (_lock)
        {
            if (_watcher != watcher)
                return;
            Failure = failure;
        }

        Leave(watcher);
        GivenUp?.Invoke();
    }

    /// <summary>Gives an event to the watcher, waiting while it is behind. Without a watcher nobody is left to want it.</summary>
    public async ValueTask PublishAsync(StageEvent stageEvent, CancellationToken cancellation)
    {
        Watcher? watcher;
        lock (_lock)
        {
            watcher = _watcher;
        }

        if (watcher is not null)
            await watcher.AddAsync(stageEvent, cancellation);
    }

    /// <summary>Ends the watcher's stream for good.</summary>
    public void Close()
    {
        Watcher? watcher;
        lock (_lock)
        {
            _closed = true;
            watcher = _watcher;
        }

        watcher?.End();
    }

    /// <summary>The events of one watcher, few and few bytes of them.</summary>
    public sealed class Watcher
    {
        // Whoever has an event carries it to the transport.
        private readonly Channel<StageEvent> _events = Channel.CreateBounded<StageEvent>(
            new BoundedChannelOptions(QueueLength) { SingleReader = true, AllowSynchronousContinuations = true });

        // Holds the one large event that is on its way.
        private readonly Channel<StageEvent> _large = Channel.CreateBounded<StageEvent>(1);

        /// <summary>The events, until there are no more.</summary>
        public IAsyncEnumerable<StageEvent> ReadAllAsync(CancellationToken cancellation) => _events.Reader.ReadAllAsync(cancellation);

        /// <summary>An event has been sent.</summary>
        public void Sent(StageEvent stageEvent)
        {
            if (IsLarge(stageEvent))
                _large.Reader.TryRead(out _);
        }

        internal async ValueTask AddAsync(StageEvent stageEvent, CancellationToken cancellation)
        {
            try
            {
                if (IsLarge(stageEvent))
                    await _large.Writer.WriteAsync(stageEvent, cancellation);
                await _events.Writer.WriteAsync(stageEvent, cancellation);
            }
            catch (ChannelClosedException)
            {
                // The watcher has left.
            }
        }

        // Not under a lock: whoever reads the events goes on right here when they end.
        internal void End()
        {
            _events.Writer.TryComplete();
            _large.Writer.TryComplete();
        }

        private static bool IsLarge(StageEvent stageEvent) => stageEvent.Result?.Logits.Length > LargeBytes;
    }
}
