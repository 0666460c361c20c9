using System.Collections.Concurrent;
using Distributed.Coordinator.Scheduling;

namespace Distributed.Coordinator.Tests.Recovery;

/// <summary>A consumer that takes a generation's tokens as they come.</summary>
internal sealed class Reading
{
    private readonly ConcurrentQueue<int> _tokens = new();
    private readonly Task _reading;

    public Reading(Generation generation) => _reading = ReadAsync(generation);

    public bool HasEnded => _reading.IsCompleted;

    /// <summary>Waits for so many tokens, or the end.</summary>
    public async Task HasAsync(int count)
    {
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while (_tokens.Count < count && !_reading.IsCompleted)
            await Task.Delay(1, timeout.Token);
    }

    /// <summary>All ids, once it has ended.</summary>
    public async Task<int[]> ToEndAsync()
    {
        await _reading.WaitAsync(RunningCluster.Patience);
        return [.. _tokens];
    }

    private async Task ReadAsync(Generation generation)
    {
        await foreach (var token in generation)
            _tokens.Enqueue(token.Id);
    }
}
