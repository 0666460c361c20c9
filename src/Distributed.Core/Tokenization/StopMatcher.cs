namespace Distributed.Core.Tokenization;

/// <summary>
/// Looks for stop texts in a stream of text. Text that may turn out to be the beginning of one is held back; the stop text
/// itself and what follows never come out. Where the stream is cut into pieces makes no difference.
/// </summary>
public sealed class StopMatcher
{
    private readonly IReadOnlyList<string> _stops;
    private string _held = "";

    /// <param name="stops">The texts to stop at; none is fine.</param>
    /// <exception cref="InvalidInputException">One is empty.</exception>
    public StopMatcher(IReadOnlyList<string> stops)
    {
        for (var i = 0; i < stops.Count; i++)
            if (stops[i].Length == 0)
                throw new InvalidInputException($"stop[{i}]", "", "must not be empty");
        _stops = stops;
    }

    /// <summary>The stop text that was found; null while there is none.</summary>
    public string? Stopped { get; private set; }

    /// <summary>Takes the next text; gives what is sure to belong to the answer, which may be empty. Nothing once stopped.</summary>
    public string Push(string text)
    {
        if (Stopped is not null)
            return "";
        if (_stops.Count == 0)
            return text;
        _held += text;
        if (FindFirst() is { } start)
            return Release(start, rest: "");

        var safe = _held.Length - LongestBeginning();
        return Release(safe, _held[safe..]);
    }

    /// <summary>Ends the stream: gives what was held back and belongs to the answer after all.</summary>
    public string Flush() => Release(_held.Length, rest: "");

    private string Release(int length, string rest)
    {
        var text = _held[..length];
        _held = rest;
        return text;
    }

    /// <summary>Where the stop text starts that is complete first; of those that are complete at once, the longest.</summary>
    private int? FindFirst()
    {
        var (bestStart, bestEnd) = (-1, int.MaxValue);
        foreach (var stop in _stops)
        {
            var start = _held.IndexOf(stop, StringComparison.Ordinal);
            var end = start + stop.Length;
            if (start < 0 || end > bestEnd || (end == bestEnd && start > bestStart))
                continue;
            (bestStart, bestEnd) = (start, end);
            Stopped = stop;
        }
        return bestStart < 0 ? null : bestStart;
    }

    /// <summary>The length of the longest end of the held text that is the beginning of a stop text.</summary>
    private int LongestBeginning()
    {
        var longest = 0;
        foreach (var stop in _stops)
        {
            var length = Math.Min(stop.Length - 1, _held.Length);
            while (length > longest && !_held.AsSpan(_held.Length - length).SequenceEqual(stop.AsSpan(0, length)))
                length--;
            longest = Math.Max(longest, length);
        }
        return longest;
    }
}
