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

/// <summary>One drawn token.</summary>
/// <param name="Id">The token; the last one may be an end-of-generation token, which has no text.</param>
/// <param name="LogProb">Natural logarithm of its probability before any sampler.</param>
/// <param name="Top">The most probable tokens, if asked for.</param>
/// <param name="Timings">Where the step's time went, stage by stage.</param>
/// <param name="Step">The number of the step that drew it.</param>
/// <param name="StepTime">The whole step, from the coordinator through all stages and back.</param>
/// <param name="FinishReason">Why this is the last token; null when it is not.</param>
public sealed record GeneratedToken(
    int Id,
    float LogProb,
    IReadOnlyList<TokenLogProb> Top,
    IReadOnlyList<StageTiming> Timings,
    long Step,
    TimeSpan StepTime,
    FinishReason? FinishReason);
