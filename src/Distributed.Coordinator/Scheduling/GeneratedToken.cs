using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Scheduling;

/// <summary>Why a generation ended.</summary>
public enum FinishReason
{
    /// <summary>The model drew an end-of-generation token.</summary>
    EndOfGeneration,

    /// <summary>A text to stop at came up.</summary>
    StopText,

    /// <summary>The most tokens asked for were generated, or the context is full.</summary>
    Length,
}

/// <summary>The step that a token was drawn in.</summary>
/// <param name="Number">Rises by one with every step of the pipeline.</param>
/// <param name="Sequences">How many sequences shared it.</param>
/// <param name="Tokens">Tokens of all of them.</param>
/// <param name="Timings">Where its time went, stage by stage.</param>
public sealed record SharedStep(long Number, int Sequences, int Tokens, IReadOnlyList<StageTiming> Timings)
{
    /// <summary>Of a token that comes from the record: no step of this coordinator's.</summary>
    public static SharedStep None { get; } = new(-1, 0, 0, []);
}

/// <summary>One drawn token.</summary>
/// <param name="Id">The token; the last one may be an end-of-generation token, which has no text.</param>
/// <param name="LogProb">Natural logarithm of its probability before any sampler.</param>
/// <param name="Top">The most probable tokens, if asked for.</param>
/// <param name="Step">The step it was drawn in.</param>
/// <param name="StepTime">
/// From the moment it could have been on its way (the one before it was drawn) to the moment it was drawn, waiting for a place in a
/// step included; of the first token the time of the prompt's last step.
/// </param>
/// <param name="FinishReason">Why this is the last token; null when it is not.</param>
public sealed record GeneratedToken(
    int Id,
    float LogProb,
    IReadOnlyList<TokenLogProb> Top,
    SharedStep Step,
    TimeSpan StepTime,
    FinishReason? FinishReason)
{
    /// <summary>Where the step's time went, stage by stage.</summary>
    public IReadOnlyList<StageTiming> Timings => Step.Timings;
}
