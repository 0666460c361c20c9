using System.Diagnostics;

namespace Distributed.Worker.Profiling;

/// <summary>How long an operation takes on this machine, which others may use at the same time.</summary>
internal static class Timed
{
    private const int FewestCalls = 3;
    private const int MostCalls = 200;

    /// <summary>
    /// Seconds of one call: the lower quartile of as many as a budget allows, behind one that does not count. Other programs only
    /// ever make a call longer, so the quicker ones say more; the very quickest may be luck.
    /// </summary>
    /// <param name="call">The operation.</param>
    /// <param name="cancellation">Gives up between two calls.</param>
    /// <param name="budget">Seconds for all calls; three are made whatever they take.</param>
    public static double Seconds(Action call, CancellationToken cancellation, double budget = 0.05)
    {
        call();
        var seconds = new List<double>();
        var all = Stopwatch.StartNew();
        while (seconds.Count < FewestCalls || (seconds.Count < MostCalls && all.Elapsed.TotalSeconds < budget))
        {
            cancellation.ThrowIfCancellationRequested();
            var start = Stopwatch.GetTimestamp();
            call();
            seconds.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        seconds.Sort();
        return seconds[seconds.Count / 4];
    }
}
