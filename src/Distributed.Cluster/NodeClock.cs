using System.Diagnostics;
using Distributed.Cluster.Protocol;

namespace Distributed.Cluster;

/// <summary>A node's monotonic clock in ns. On one machine all processes read the same one; between machines it differs by an offset.</summary>
public static class NodeClock
{
    // The quickest of a few round trips bounds the error by half its length.
    private const int Rounds = 5;

    /// <summary>Nanoseconds since some moment of this machine.</summary>
    public static long Now => FromTicks(Stopwatch.GetTimestamp());

    /// <summary>What <see cref="Now"/> was at a moment that <see cref="Stopwatch"/> has shown.</summary>
    public static long FromTicks(long ticks) => (long)(ticks * (1e9 / Stopwatch.Frequency));

    /// <summary>Compares a worker's clock with this node's (Cristian 1989).</summary>
    /// <param name="worker">A client to it.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="Grpc.Core.RpcException">The worker did not answer.</exception>
    public static async Task<ClockReading> CompareAsync(StageService.StageServiceClient worker, CancellationToken cancellation)
    {
        var quickest = long.MaxValue;
        var reading = default(ClockReading);
        for (var round = 0; round < Rounds; round++)
        {
            var sent = Now;
            var reply = await worker.ReadClockAsync(new ClockRequest(), deadline: DateTime.UtcNow.AddSeconds(5), cancellationToken: cancellation);
            var received = Now;
            if (received - sent >= quickest)
                continue;
            quickest = received - sent;
            var middle = sent + (quickest / 2);
            reading = new ClockReading(middle, reply.NowNs - middle, (quickest + 1) / 2);
        }

        return reading;
    }
}

/// <summary>A comparison of another node's clock with this one's.</summary>
/// <param name="AtNs">When, on this node's clock, ns.</param>
/// <param name="OffsetNs">What to add to this node's clock to read the other one's, ns.</param>
/// <param name="ErrorNs">The most that the offset is off, ns.</param>
public readonly record struct ClockReading(long AtNs, long OffsetNs, long ErrorNs);
