using System.Diagnostics;

namespace Distributed.Cli.Lab;

/// <summary>How an answer ended.</summary>
internal enum SoakOutcome
{
    /// <summary>It has not.</summary>
    Running,

    /// <summary>It came whole.</summary>
    Finished,

    /// <summary>It was called off, as the soak does to some.</summary>
    Cancelled,

    /// <summary>It failed.</summary>
    Lost,
}

/// <summary>One answer while it comes, and when its pieces came.</summary>
/// <param name="request">What is asked for.</param>
internal sealed class SoakAnswer(SoakRequest request) : IDisposable
{
    private readonly List<long> _times = [Stopwatch.GetTimestamp()];
    private readonly CancellationTokenSource _cancel = new();
    private int _characters;

    /// <summary>What is asked for.</summary>
    public SoakRequest Request => request;

    /// <summary>How it ended.</summary>
    public SoakOutcome Outcome { get; private set; }

    /// <summary>Whether all that came is what an undisturbed run gives there.</summary>
    public bool IsExact { get; private set; } = true;

    /// <summary>What became of it, where it was lost; else null.</summary>
    public string? Reason { get; private set; }

    /// <summary>How often it was asked for again because the coordinator had been killed.</summary>
    public int AskedAgain { get; set; }

    /// <summary>Cancelled when the soak calls it off.</summary>
    public CancellationToken Cancelled => _cancel.Token;

    /// <summary>Calls it off.</summary>
    public void Cancel() => _cancel.Cancel();

    /// <summary>Takes down what has come so far, from the beginning. What comes once more after a restart is no progress.</summary>
    public void Came(string text)
    {
        lock (_times)
        {
            IsExact &= request.Expected.StartsWith(text, StringComparison.Ordinal);
            if (text.Length <= _characters)
                return;
            _characters = text.Length;
            _times.Add(Stopwatch.GetTimestamp());
        }
    }

    /// <summary>Takes down how it ended.</summary>
    public void Ended(SoakOutcome outcome, string? reason = null)
    {
        lock (_times)
        {
            (Outcome, Reason) = (outcome, reason);
            if (outcome == SoakOutcome.Finished)
                IsExact &= _characters == request.Expected.Length;
            _times.Add(Stopwatch.GetTimestamp());
        }
    }

    /// <summary>The longest pause that began before a time and was not over at another one.</summary>
    /// <param name="from">A pause counts from here where it began earlier.</param>
    /// <param name="until">The latest time at which it may have begun.</param>
    /// <returns>The pause; null while something else may still come of it. Zero where it had ended already.</returns>
    public TimeSpan? PauseBetween(long from, long until)
    {
        lock (_times)
        {
            if (Outcome == SoakOutcome.Running && _times[^1] <= until)
                return null;
            var longest = TimeSpan.Zero;
            foreach (var (begin, end) in _times.Zip(_times.Skip(1)))
                if (end > from && begin <= until && Stopwatch.GetElapsedTime(Math.Max(begin, from), end) is var pause && pause > longest)
                    longest = pause;
            return longest;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _cancel.Dispose();
}
