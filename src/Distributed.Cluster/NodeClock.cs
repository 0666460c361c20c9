using System.Diagnostics;
using Distributed.Cluster.Protocol;

namespace Distributed.Cluster;

/// <summary>A node's monotonic clock in ns. On one machine all processes read the same one; between machines it differs by an offset.</summary>
public static class NodeClock
{
    // The quickest of a few round trips bounds the error by half its length.
    private const int Rounds = 5;

    /// <summary>Nanoseconds since some moment of this machine.</summary>
    public static long Now => (long)(Stopwatch.GetTimestamp() * (1e9 / Stopwatch.Frequency));

    /// <summary>What to add to <see cref="Now"/> to read the worker's clock, in ns (Cristian 1989).</summary>
    /// <param name="address">Where the worker listens; on this machine its clock is this process's own.</param>
    /// <param name="worker">A client to it.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="Grpc.Core.RpcException">The worker did not answer.</exception>
    public static async Task<long> OffsetToAsync(NodeAddress address, StageService.StageServiceClient worker, CancellationToken cancellation)
    {
        if (address.IsThisMachine)
            return 0;
        var quickest = long.MaxValue;
        var offset = 0L;
        for (var round = 0; round < Rounds; round++)
        {
            var sent = Now;
            var reply = await worker.ReadClockAsync(new ClockRequest(), deadline: DateTime.UtcNow.AddSeconds(5), cancellationToken: cancellation);
            var received = Now;
            if (received - sent >= quickest)
                continue;
            quickest = received - sent;
            offset = reply.NowNs - (sent + (quickest / 2));
        }

        return offset;
    }
}
