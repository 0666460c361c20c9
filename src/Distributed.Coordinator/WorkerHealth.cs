using System.Diagnostics;
using Distributed.Cluster.Config;

namespace Distributed.Coordinator;

/// <summary>
/// How the workers of a cluster are. However many ask, the workers are asked once at a time and once a second: a call opens a
/// connection to each of them.
/// </summary>
/// <param name="config">The cluster.</param>
internal sealed class WorkerHealth(ClusterConfig config)
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private Task<WorkerAnswer[]>? _answers;
    private long _asked;

    /// <summary>What the workers say of themselves, in the order of the config; at most a second old.</summary>
    /// <param name="cancellation">Stops waiting; others may wait for the same answers.</param>
    public Task<WorkerAnswer[]> AskAsync(CancellationToken cancellation)
    {
        lock (_lock)
        {
            var isOver = _answers is null || _answers.IsCompleted && Stopwatch.GetElapsedTime(_asked) > Interval;
            if (isOver)
                (_answers, _asked) = (ClusterSurvey.AskAsync(config, CancellationToken.None), Stopwatch.GetTimestamp());
            return _answers!.WaitAsync(cancellation);
        }
    }
}
