namespace Distributed.Worker;

/// <summary>
/// Which tokens the keys and values of each sequence are of. A coordinator that was started again holds this against what it knows of its
/// sessions: what agrees need not be computed again, whatever it missed before it ended. Written between steps, read by any thread.
/// </summary>
internal sealed class HeldTokens
{
    private readonly Lock _lock = new();
    private readonly Dictionary<long, List<int>> _tokens = [];

    /// <summary>A sequence is cut back, and what follows is not there before <see cref="Append"/> says so.</summary>
    public void Cut(long sequence, int length)
    {
        lock (_lock)
        {
            // What is not there before is not to be there because of a step that may be refused.
            if (_tokens.TryGetValue(sequence, out var held) && length < held.Count)
                held.RemoveRange(length, held.Count - length);
        }
    }

    /// <summary>Keys and values of these tokens follow.</summary>
    public void Append(long sequence, IEnumerable<int> tokens)
    {
        lock (_lock)
        {
            if (!_tokens.TryGetValue(sequence, out var held))
                _tokens[sequence] = held = [];
            held.AddRange(tokens);
        }
    }

    /// <summary>A new sequence begins with tokens of another one.</summary>
    public void Share(long from, long to, int length)
    {
        lock (_lock)
            _tokens[to] = [.. _tokens.GetValueOrDefault(from, []).Take(length)];
    }

    /// <summary>A sequence holds nothing any more.</summary>
    public void Release(long sequence)
    {
        lock (_lock)
            _tokens.Remove(sequence);
    }

    /// <summary>How many tokens of a sequence there are.</summary>
    public int Count(long sequence)
    {
        lock (_lock)
            return _tokens.GetValueOrDefault(sequence)?.Count ?? 0;
    }

    /// <summary>The tokens of a sequence, from position 0.</summary>
    public int[] Of(long sequence)
    {
        lock (_lock)
            return [.. _tokens.GetValueOrDefault(sequence, [])];
    }
}
