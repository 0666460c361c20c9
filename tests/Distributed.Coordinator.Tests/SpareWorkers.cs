using System.Collections.Concurrent;

namespace Distributed.Coordinator.Tests;

/// <summary>
/// Workers that a test has left as it found them, for the next test: to start them takes longer than most tests do. They end with this
/// process.
/// </summary>
internal static class SpareWorkers
{
    private static readonly ConcurrentDictionary<int, ConcurrentBag<LocalWorkers>> Spare = new();

    /// <summary>So many workers, which hold no stage.</summary>
    public static async Task<LocalWorkers> TakeAsync(int count) =>
        Spare.TryGetValue(count, out var bag) && bag.TryTake(out var workers)
            ? workers
            : await LocalWorkers.StartAsync(count, 1, RunningCluster.WorkerMemory, RunningCluster.Program, default);

    /// <summary>Ends a coordinator and keeps its workers, or ends them too where it has lost one.</summary>
    /// <param name="workers">The workers.</param>
    /// <param name="host">Their coordinator.</param>
    /// <param name="end">Ends it.</param>
    public static async Task LeaveAsync(LocalWorkers workers, CoordinatorHost host, Func<Task> end)
    {
        var hasLostNone = host is { Condition.State: "ready", Recovery.Reports.Count: 0 };
        await end();
        if (hasLostNone && workers.Workers.All(worker => !worker.Process.HasExited))
            Spare.GetOrAdd(workers.Workers.Count, _ => []).Add(workers);
        else
            await workers.DisposeAsync();
    }
}
