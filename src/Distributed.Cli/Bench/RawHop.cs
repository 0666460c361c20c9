using System.Net.Sockets;
using Distributed.Cluster.Links;

namespace Distributed.Cli.Bench;

/// <summary>
/// What a plain socket takes for a hop's bytes in a stage's place: both ends sleep or compute between two steps, and weights have gone
/// through the caches, so that neither the code nor the data of the way is in them.
/// </summary>
internal static class RawHop
{
    private const int Rounds = 15;

    // More than caches hold, and some milliseconds to read.
    private const int BetweenBytes = 64 << 20;

    // More bytes than these are only acknowledged.
    private const int MostEchoed = 64 << 10;

    /// <summary>The median way there, in µs; null where the machine has no such sockets.</summary>
    /// <param name="bytes">Bytes of the hop.</param>
    public static double? MedianUs(int bytes)
    {
        try
        {
            using var socket = new RawSocketPair(unix: true);
            // Written to: untouched pages are all one and the same page, which stays in the caches.
            var weights = new byte[BetweenBytes];
            weights.AsSpan().Fill(1);
            var echoes = bytes <= MostEchoed;
            var times = socket.Time(bytes, echoes ? bytes : 1, Rounds, () => weights.AsSpan().IndexOfAnyExcept((byte)1));
            return Statistics.Median(times.Select(time => time / 1e3)) / (echoes ? 2 : 1);
        }
        catch (SocketException)
        {
            return null;
        }
    }
}
