using Distributed.Core.Sampling;

namespace Distributed.Cluster;

/// <summary>Sampling options to and from their message.</summary>
public static class SamplingCodec
{
    /// <summary>The message, with the tokens that the repeat penalty looks at.</summary>
    /// <param name="options">The options.</param>
    /// <param name="history">The sequence's tokens so far; only the last <see cref="SamplingOptions.RepeatLastN"/> go along, and none when the penalty is off.</param>
    /// <param name="topLogProbs">How many log-probabilities to report.</param>
    public static Protocol.Sampling ToMessage(this SamplingOptions options, ReadOnlySpan<int> history, int topLogProbs = 0)
    {
        var message = new Protocol.Sampling
        {
            Temperature = options.Temperature,
            TopK = options.TopK,
            TopP = options.TopP,
            MinP = options.MinP,
            RepeatPenalty = options.RepeatPenalty,
            Seed = options.Seed,
            TopLogProbs = topLogProbs,
        };
        if (options.RepeatPenalty != 1)
            message.Recent.AddRange(history[^Math.Min(options.RepeatLastN, history.Length)..].ToArray());
        return message;
    }

    /// <summary>The options; <see cref="SamplingOptions.RepeatLastN"/> is the number of tokens sent along.</summary>
    public static SamplingOptions ToOptions(this Protocol.Sampling message) => new()
    {
        Temperature = message.Temperature,
        TopK = message.TopK,
        TopP = message.TopP,
        MinP = message.MinP,
        RepeatPenalty = message.RepeatPenalty,
        RepeatLastN = message.Recent.Count,
        Seed = message.Seed,
    };
}
