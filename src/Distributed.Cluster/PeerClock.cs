using Distributed.Cluster.Protocol;
using Grpc.Core;

namespace Distributed.Cluster;

/// <summary>
/// Another node's clock as this node knows it: compared at the start and from time to time after, because the quartzes of two
/// machines drift apart by up to 0.1 ms a second. A node on this machine reads the same clock, and is never asked.
/// </summary>
public sealed class PeerClock : IDisposable
{
    private const int MaxReadings = 1024;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    // Quartzes are this much off at worst.
    private const double Drift = 1e-4;

    private readonly CancellationTokenSource _stopping = new();
    private readonly StageService.StageServiceClient? _worker;
    private readonly Lock _lock = new();
    private List<ClockReading> _readings;

    /// <summary>A clock that was compared before and is not compared again.</summary>
    /// <param name="readings">At least one, in the order of their time.</param>
    public PeerClock(IReadOnlyList<ClockReading> readings)
        : this(null, readings)
    {
    }

    private PeerClock(StageService.StageServiceClient? worker, IReadOnlyList<ClockReading> readings) =>
        (_worker, _readings) = (worker, [.. readings]);

    /// <summary>What to add to this node's clock to read the other one's at this moment, by the latest comparison, ns.</summary>
    public long OffsetNs => Readings[^1].OffsetNs;

    /// <summary>
    /// The most by which <see cref="ToLocal"/> is off at moments between two comparisons, ns: the largest error of any of them, as
    /// far as the drift between two is even. 0 for a node on this machine.
    /// </summary>
    public long ErrorNs => Readings.Max(reading => reading.ErrorNs);

    /// <summary>The comparisons so far, thinned out when they are many.</summary>
    public IReadOnlyList<ClockReading> Readings
    {
        get
        {
            lock (_lock)
            {
                return _readings;
            }
        }
    }

    /// <summary>Compares a worker's clock, and goes on doing so until disposed.</summary>
    /// <param name="address">Where it listens.</param>
    /// <param name="worker">A client to it, which must stay usable as long as this object.</param>
    /// <param name="cancellation">Gives up the first comparison.</param>
    /// <exception cref="RpcException">The worker did not answer.</exception>
    public static async Task<PeerClock> OpenAsync(
        NodeAddress address, StageService.StageServiceClient worker, CancellationToken cancellation)
    {
        if (address.IsThisMachine)
            return new PeerClock([new ClockReading(NodeClock.Now, 0, 0)]);
        var clock = new PeerClock(worker, [await NodeClock.CompareAsync(worker, cancellation)]);
        _ = clock.CompareNowAndThenAsync(clock._stopping.Token);
        return clock;
    }

    /// <summary>
    /// Compares once more, so that moments up to now lie between two comparisons. Does nothing where the node does not answer.
    /// </summary>
    public async Task CompareAsync(CancellationToken cancellation)
    {
        if (_worker is null)
            return;
        try
        {
            Add(await NodeClock.CompareAsync(_worker, cancellation));
        }
        catch (Exception error) when (error is RpcException or ObjectDisposedException)
        {
            // What went before holds; that the worker is lost is for others to say.
        }
    }

    /// <summary>A moment of the other node's clock on this node's, ns; between two comparisons the offset changes evenly.</summary>
    public long ToLocal(long peerNs)
    {
        var readings = Readings;
        var after = readings.Count;
        for (var low = 0; low < after;)
        {
            var middle = (low + after) / 2;
            if (readings[middle].AtNs + readings[middle].OffsetNs > peerNs)
                after = middle;
            else
                low = middle + 1;
        }

        if (after == 0 || after == readings.Count)
            return peerNs - readings[Math.Clamp(after, 0, readings.Count - 1)].OffsetNs;
        var (left, right) = (readings[after - 1], readings[after]);
        var span = right.AtNs + right.OffsetNs - (left.AtNs + left.OffsetNs);
        var share = (peerNs - (left.AtNs + left.OffsetNs)) / (double)span;
        return peerNs - left.OffsetNs - (long)((right.OffsetNs - left.OffsetNs) * share);
    }

    /// <inheritdoc/>
    public void Dispose() => _stopping.Cancel();

    private async Task CompareNowAndThenAsync(CancellationToken cancellation)
    {
        using var timer = new PeriodicTimer(Interval);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellation))
                await CompareAsync(cancellation);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private void Add(ClockReading reading)
    {
        lock (_lock)
        {
            // Round trips through a busy moment say less than the last comparison still does.
            var last = _readings[^1];
            if (reading.ErrorNs > last.ErrorNs + ((reading.AtNs - last.AtNs) * Drift))
                return;
            // Readers keep the list they have: it never changes.
            List<ClockReading> kept = _readings.Count < MaxReadings ? _readings : [.. _readings.Where((_, index) => index % 2 == 0)];
            _readings = [.. kept, reading];
        }
    }
}
