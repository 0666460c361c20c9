namespace Distributed.Worker;

/// <summary>
/// Threads of the pool for stages, which compute on them for seconds at times: beside one for each, the pool starts as many at once as it
/// does without stages. It adds more by itself, but slower than a worker may be silent.
/// </summary>
internal static class PoolThreads
{
    private static readonly Lock Changing = new();

    /// <summary>A stage has come.</summary>
    public static void Add() => Change(1);

    /// <summary>A stage has gone.</summary>
    public static void Remove() => Change(-1);

    private static void Change(int count)
    {
        lock (Changing)
        {
            ThreadPool.GetMinThreads(out var threads, out var completions);
            ThreadPool.SetMinThreads(threads + count, completions);
        }
    }
}
