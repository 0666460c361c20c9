using System.Globalization;
using System.Text;
using Distributed.Coordinator.Scheduling;

namespace Distributed.Cli.Output;

/// <summary>The line that ends an answer: how fast it was, and where a token's time went.</summary>
internal static class StatisticsLine
{
    /// <summary>The line; figures per stage and hop are averages over the generated tokens behind the first, in ms.</summary>
    /// <param name="statistics">Complete ones.</param>
    /// <param name="seed">The seed of a sampled answer; null for a greedy one.</param>
    public static string Of(GenerationStatistics statistics, ulong? seed)
    {
        var reused = statistics.ReusedTokens > 0 ? $" ({statistics.ReusedTokens} of them cached)" : "";
        var prefill = Units.TokensPerSecond(statistics.PrefillTokensPerSecond);
        var decode = Units.TokensPerSecond(statistics.DecodeTokensPerSecond);
        var line = new StringBuilder()
            .Append(CultureInfo.InvariantCulture, $"prompt {statistics.PromptTokens} tokens{reused}, {prefill}")
            .Append(CultureInfo.InvariantCulture, $" · generated {statistics.GeneratedTokens} tokens, {decode} · ");
        var stages = statistics.Stages;
        var hops = statistics.Hops;
        for (var stage = 0; stage < stages.Count; stage++)
        {
            if (stage > 0)
                line.Append(CultureInfo.InvariantCulture, $", hop {Units.Milliseconds(hops[stage].TotalMs)}, ");
            var spent = Units.Milliseconds(stages[stage].QueueMs + stages[stage].ComputeMs);
            line.Append(CultureInfo.InvariantCulture, $"stage {stage} {spent}");
        }

        var ends = Units.Milliseconds(hops[0].TotalMs + hops[^1].TotalMs);
        line.Append(CultureInfo.InvariantCulture, $" · to and from the coordinator {ends} per token");
        return seed is null ? line.ToString() : line.Append(CultureInfo.InvariantCulture, $" · seed {seed}").ToString();
    }
}
