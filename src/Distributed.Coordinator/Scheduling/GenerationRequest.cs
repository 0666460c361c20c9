using Distributed.Core.Sampling;

namespace Distributed.Coordinator.Scheduling;

/// <summary>A prompt to go on from.</summary>
public sealed record GenerationRequest
{
    /// <summary>The most probable tokens that can be reported with each drawn one.</summary>
    public const int MaxTopLogProbs = 20;

    /// <summary>Token ids of the whole prompt, at least one; of a session, the whole conversation so far.</summary>
    public required IReadOnlyList<int> Tokens { get; init; }

    /// <summary>How tokens are drawn.</summary>
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>The most tokens to generate; null until the context is full, which ends every generation.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>How many of the most probable tokens to report with each drawn one, 0 to <see cref="MaxTopLogProbs"/>.</summary>
    public int TopLogProbs { get; init; }

    /// <summary>The session whose KV cache is used and kept for its next request; null releases it when this request ends.</summary>
    public string? Session { get; init; }

    /// <summary>
    /// Nobody chose the seed of <see cref="Sampling"/>: where the request repeats one that the coordinator before this one was answering, it
    /// is drawn with the seed of that one.
    /// </summary>
    public bool AnySeed { get; init; }

    /// <summary>
    /// What that one had drawn comes from the record rather than being computed again, without log-probabilities (they are NaN) and without
    /// timings.
    /// </summary>
    public bool FromRecord { get; init; }

    /// <summary>Goes on behind end-of-generation tokens, for measurements.</summary>
    public bool IgnoreEnd { get; init; }
}
