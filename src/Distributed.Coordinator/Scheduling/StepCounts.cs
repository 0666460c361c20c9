namespace Distributed.Coordinator.Scheduling;

/// <summary>What a pipeline's steps have carried so far. Written by the step loop alone; may be read from any thread.</summary>
public sealed class StepCounts
{
    private long _steps;
    private long _sharedSteps;
    private long _promptTokens;
    private long _decodeTokens;
    private long _retriedSteps;
    private long _sharedTokens;
    private volatile int _running;
    private volatile int _inFlight;
    private volatile int _mostInFlight;

    /// <summary>Steps sent.</summary>
    public long Steps => Interlocked.Read(ref _steps);

    /// <summary>Steps that held tokens of more than one sequence.</summary>
    public long SharedSteps => Interlocked.Read(ref _sharedSteps);

    /// <summary>Tokens of prompts sent.</summary>
    public long PromptTokens => Interlocked.Read(ref _promptTokens);

    /// <summary>Tokens sent that had been drawn before.</summary>
    public long DecodeTokens => Interlocked.Read(ref _decodeTokens);

    /// <summary>Steps that failed and whose sequences were sent again one by one.</summary>
    public long RetriedSteps => Interlocked.Read(ref _retriedSteps);

    /// <summary>Tokens of prompts that were not sent because other sessions had them in the KV cache.</summary>
    public long SharedTokens => Interlocked.Read(ref _sharedTokens);

    /// <summary>Sequences that have a place and more tokens to come.</summary>
    public int Running => _running;

    /// <summary>Steps on their way through the stages.</summary>
    public int InFlight => _inFlight;

    /// <summary>The most that ever were at once.</summary>
    public int MostInFlight => _mostInFlight;

    internal void Sent(Flight flight, int inFlight)
    {
        Interlocked.Increment(ref _steps);
        if (flight.Parts.Count > 1)
            Interlocked.Increment(ref _sharedSteps);
        var prompt = 0;
        foreach (var part in flight.Parts)
            prompt += part.OfPrompt ? part.Count : 0;
        Interlocked.Add(ref _promptTokens, prompt);
        Interlocked.Add(ref _decodeTokens, flight.Step.Tokens.Count - prompt);
        _mostInFlight = Math.Max(_mostInFlight, inFlight);
    }

    internal void Shared(int tokens) => Interlocked.Add(ref _sharedTokens, tokens);

    internal void Retried() => Interlocked.Increment(ref _retriedSteps);

    internal void Now(int running, int inFlight) => (_running, _inFlight) = (running, inFlight);
}
