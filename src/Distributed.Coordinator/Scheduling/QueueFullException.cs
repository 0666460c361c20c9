namespace Distributed.Coordinator.Scheduling;

/// <summary>Too many requests wait for a place already; trying again later may help.</summary>
public sealed class QueueFullException : Exception
{
    /// <param name="running">Requests running.</param>
    /// <param name="waiting">Requests waiting.</param>
    /// <param name="limit">The most that may wait.</param>
    public QueueFullException(int running, int waiting, int limit)
        : base($"{running} requests are running and {waiting} wait for a place, of at most {limit} (max-waiting); try again later")
    {
    }
}
