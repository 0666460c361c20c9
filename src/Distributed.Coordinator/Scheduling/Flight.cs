using System.Diagnostics;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Scheduling;

/// <summary>One sequence's part of a step.</summary>
/// <param name="Run">The sequence.</param>
/// <param name="Start">Position of the first token.</param>
/// <param name="Count">Tokens.</param>
/// <param name="OfPrompt">Whether they are the prompt's, not drawn before.</param>
/// <param name="Draws">Whether a token is drawn behind the last.</param>
/// <param name="Attempt">The sequence's attempt when it was sent; of an earlier attempt nothing counts any more.</param>
internal readonly record struct FlightPart(SequenceRun Run, int Start, int Count, bool OfPrompt, bool Draws, int Attempt)
{
    /// <summary>One past the last position.</summary>
    public int End => Start + Count;
}

/// <summary>A step on its way through the pipeline.</summary>
/// <param name="step">The step.</param>
/// <param name="parts">Slice by slice, whose tokens they are.</param>
/// <param name="landed">Told, without delay to the thread that received the result, that it is there.</param>
internal sealed class Flight(Step step, FlightPart[] parts, Action landed) : PendingStep(step)
{
    private volatile bool _landed;

    /// <summary>Slice by slice, whose tokens they are.</summary>
    public IReadOnlyList<FlightPart> Parts => parts;

    /// <summary>When it was sent, a timestamp of <see cref="Stopwatch"/>.</summary>
    public long Sent { get; } = Stopwatch.GetTimestamp();

    /// <summary>Its result or failure has come.</summary>
    public bool Landed => _landed;

    /// <summary>What it came to; null when it failed or is on its way.</summary>
    public StepResult? Result { get; private set; }

    /// <summary>Why it failed; null when it did not.</summary>
    public Failure? Failure { get; private set; }

    /// <summary>How long it has been on its way, or was.</summary>
    public TimeSpan Time => _landed ? _time : Stopwatch.GetElapsedTime(Sent);

    private TimeSpan _time;

    /// <inheritdoc/>
    public override void Completed(StepResult result)
    {
        (Result, Failure) = result.Failure is null ? (result, null) : ((StepResult?)null, result.Failure);
        Land();
    }

    /// <inheritdoc/>
    public override void Failed(StageFailureException error)
    {
        Failure = error.Failure;
        Land();
    }

    private void Land()
    {
        _time = Stopwatch.GetElapsedTime(Sent);
        _landed = true;
        landed();
    }
}
