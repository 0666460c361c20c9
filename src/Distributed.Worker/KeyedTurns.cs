namespace Distributed.Worker;

/// <summary>Lets those with the same key in one after the other, and those with different keys side by side.</summary>
internal sealed class KeyedTurns<TKey>
    where TKey : notnull
{
    private readonly Dictionary<TKey, TaskCompletionSource> _taken = [];

    /// <summary>The keys that somebody has.</summary>
    public IReadOnlyCollection<TKey> Keys
    {
        get
        {
            lock (_taken)
            {
                return [.. _taken.Keys];
            }
        }
    }

    /// <summary>Waits until nobody has the key any longer, and takes it; dispose the result to give it back.</summary>
    public async Task<IDisposable> TakeAsync(TKey key, CancellationToken cancellation)
    {
        while (true)
        {
            Task given;
            lock (_taken)
            {
                if (!_taken.TryGetValue(key, out var other))
                {
                    _taken[key] = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                    return new Turn(this, key);
                }

                given = other.Task;
            }

            await given.WaitAsync(cancellation);
        }
    }

    private sealed class Turn(KeyedTurns<TKey> turns, TKey key) : IDisposable
    {
        public void Dispose()
        {
            TaskCompletionSource? given;
            lock (turns._taken)
            {
                turns._taken.Remove(key, out given);
            }

            given?.SetResult();
        }
    }
}
