using Distributed.Coordinator.Planning;

namespace Distributed.Coordinator.Scheduling;

/// <summary>A figure as it was predicted and as it was measured, in ms.</summary>
/// <param name="Term">What it is of: <c>decode</c>, <c>prefill</c>, <c>stage 0</c>, <c>hop 1</c>.</param>
/// <param name="PredictedMs">From the profiles.</param>
/// <param name="MeasuredMs">On average.</param>
public sealed record PredictedAndMeasured(string Term, double PredictedMs, double MeasuredMs)
{
    /// <summary>By how much the prediction is off, as a part of what was measured; 0 where nothing was.</summary>
    public double Error => MeasuredMs > 0 ? (PredictedMs - MeasuredMs) / MeasuredMs : 0;
}

/// <summary>A generation's times as the plan predicts them for its own prompt and answer, beside those that were measured.</summary>
/// <param name="Decode">One token; null where there was no step.</param>
/// <param name="Terms">Its parts, per token: each stage's computing, and the way into stage 0, 1, … and back, with the wait for the device.</param>
/// <param name="Prefill">The prompt, up to the first token; null where all of it was cached.</param>
public sealed record GenerationForecast(
    PredictedAndMeasured? Decode, IReadOnlyList<PredictedAndMeasured> Terms, PredictedAndMeasured? Prefill)
{
    /// <summary>From which error on a term is called wrong.</summary>
    public const double WrongFrom = 0.25;

    /// <summary>Both sides of a generation that has ended.</summary>
    /// <param name="costs">The placement's costs.</param>
    /// <param name="statistics">The measured side.</param>
    public static GenerationForecast Of(PlacementCosts costs, GenerationStatistics statistics)
    {
        var steps = statistics.GeneratedTokens - 1;
        PredictedAndMeasured? decode = null;
        List<PredictedAndMeasured> terms = [];
        if (steps > 0 && statistics.DecodeTokensPerSecond > 0)
        {
            var predicted = costs.Decode(statistics.PromptTokens + ((steps + 1) / 2.0));
            decode = new PredictedAndMeasured("decode", predicted.PathMs, 1000 / statistics.DecodeTokensPerSecond);
            var (stages, hops) = (statistics.Stages, statistics.Hops);
            for (var hop = 0; hop < hops.Count; hop++)
            {
                // A device that waits for its step to be handed over is part of the way to it.
                var queue = hop < stages.Count ? stages[hop].QueueMs : 0;
                terms.Add(new PredictedAndMeasured($"hop {hop}", predicted.Hops[hop], hops[hop].TotalMs + queue));
                if (hop < stages.Count)
                    terms.Add(new PredictedAndMeasured($"stage {hop}", predicted.Stages[hop], stages[hop].ComputeMs));
            }
        }

        var prefill = statistics.PromptTokens > statistics.ReusedTokens && statistics.PrefillTime > TimeSpan.Zero
            ? new PredictedAndMeasured(
                "prefill",
                costs.Prefill(statistics.ReusedTokens, statistics.PromptTokens).TokenMs,
                statistics.PrefillTime.TotalMilliseconds)
            : null;
        return new GenerationForecast(decode, terms, prefill);
    }

    /// <summary>Prefill, where it is off by more than <see cref="WrongFrom"/>; null where it is not.</summary>
    public PredictedAndMeasured? WrongPrefill() => Prefill is not null && Math.Abs(Prefill.Error) > WrongFrom ? Prefill : null;

    /// <summary>
    /// The term that is wrong by the most ms, where decode is off by more than <see cref="WrongFrom"/>; null where it is not, or no
    /// term is known. What no term holds (the coordinator's own part) is a term too.
    /// </summary>
    public PredictedAndMeasured? Wrong()
    {
        if (Decode is null || Math.Abs(Decode.Error) <= WrongFrom)
            return null;
        var rest = new PredictedAndMeasured("between steps", 0, Math.Max(0, Decode.MeasuredMs - Terms.Sum(term => term.MeasuredMs)));
        return Terms.Append(rest).MaxBy(term => Math.Abs(term.PredictedMs - term.MeasuredMs));
    }
}
