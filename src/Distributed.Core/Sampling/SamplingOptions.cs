namespace Distributed.Core.Sampling;

/// <summary>How the next token is drawn from the logits. The defaults are llama.cpp's.</summary>
public sealed record SamplingOptions
{
    /// <summary>Logits are divided by this; 0 takes the most probable token (greedy).</summary>
    public float Temperature { get; init; } = 0.8f;

    /// <summary>Only the K most probable tokens are kept; 0 keeps all.</summary>
    public int TopK { get; init; } = 40;

    /// <summary>Only the smallest set of tokens whose probability reaches P is kept; 1 keeps all.</summary>
    public float TopP { get; init; } = 0.95f;

    /// <summary>Tokens less probable than P times the most probable one are dropped; 0 keeps all.</summary>
    public float MinP { get; init; } = 0.05f;

    /// <summary>Logits of recent tokens are divided (where positive) or multiplied (where negative) by this; 1 is off.</summary>
    public float RepeatPenalty { get; init; } = 1f;

    /// <summary>How many of the last tokens count as recent.</summary>
    public int RepeatLastN { get; init; } = 64;

    /// <summary>The seed: the same seed, model and prompt give the same text.</summary>
    public ulong Seed { get; init; }

    /// <summary>Every value that breaks its rule, keyed by <paramref name="prefix"/> and the flag's name.</summary>
    public IEnumerable<InputError> Validate(string prefix = "--")
    {
        if (!(Temperature is >= 0 and <= 100))
            yield return new InputError($"{prefix}temperature", $"{Temperature}", "must lie between 0 and 100");
        if (TopK < 0)
            yield return new InputError($"{prefix}top-k", $"{TopK}", "must be 0 (off) or more");
        if (!(TopP is > 0 and <= 1))
            yield return new InputError($"{prefix}top-p", $"{TopP}", "must be above 0 and at most 1");
        if (!(MinP is >= 0 and <= 1))
            yield return new InputError($"{prefix}min-p", $"{MinP}", "must lie between 0 and 1");
        if (!(RepeatPenalty is > 0 and <= 100))
            yield return new InputError($"{prefix}repeat-penalty", $"{RepeatPenalty}", "must be above 0 and at most 100");
        if (RepeatLastN is < 0 or > 4096)
            yield return new InputError($"{prefix}repeat-last-n", $"{RepeatLastN}", "must lie between 0 and 4096");
    }
}
