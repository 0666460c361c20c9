using System.Globalization;

namespace Distributed.Coordinator.Recovery;

/// <summary>What came of asking for another placement. Times are ms.</summary>
/// <param name="Epoch">The epoch at work after it.</param>
/// <param name="IsMoved">Whether there is another placement; not where the best one is that at work.</param>
/// <param name="Stages">The placement, as <c>worker/device layers</c>.</param>
/// <param name="Drained">The workers that no placement uses until they are asked back.</param>
/// <param name="LoadedBeside">
/// Whether the new stages were loaded while the old ones went on; else there was not the memory for both, and requests waited for it.
/// </param>
/// <param name="PlanningMs">Workers and links asked and measured, and the plan.</param>
/// <param name="LoadingMs">Until the stages were loaded and connected.</param>
/// <param name="GapMs">From the last step on the old stages until every sequence had its next token; null where that was broken off.</param>
/// <param name="Sequences">Sequences whose KV cache was replayed: computed again from their tokens.</param>
/// <param name="ReplayedTokens">These tokens.</param>
/// <param name="PredictedReplayMs">How long that was predicted to take; null where nothing is predicted.</param>
/// <param name="ReplayingMs">How long it took; null where it was broken off.</param>
public sealed record MoveReport(
    long Epoch, bool IsMoved, IReadOnlyList<string> Stages, IReadOnlyList<string> Drained, bool LoadedBeside, double PlanningMs,
    double LoadingMs, double? GapMs, int Sequences, int ReplayedTokens, double? PredictedReplayMs, double? ReplayingMs)
{
    /// <summary>One line for people.</summary>
    public override string ToString() => IsMoved
        ? string.Create(
            CultureInfo.InvariantCulture,
            $"epoch {Epoch} on {string.Join(", ", Stages)}{NotUsed} · planning {PlanningMs:0} ms · loading {LoadingMs:0} ms"
            + $"{(LoadedBeside ? " beside the old stages" : ", requests waiting")} · replayed {ReplayedTokens} tokens of {Sequences} sequences"
            + $"{(PredictedReplayMs is { } predicted ? $", predicted {predicted:0} ms" : "")}, {Time(ReplayingMs)} · streams stood for {Time(GapMs)}")
        : $"epoch {Epoch} stays on {string.Join(", ", Stages)}{NotUsed}: that is the best placement";

    private string NotUsed => Drained.Count == 0 ? "" : $", without {string.Join(", ", Drained)}";

    private static string Time(double? ms) => ms is { } time ? string.Create(CultureInfo.InvariantCulture, $"{time:0} ms") : "broken off";
}

/// <summary>Another placement is not made: the message says why, and nothing has changed.</summary>
/// <param name="message">Why, with numbers.</param>
/// <param name="inner">What said so.</param>
public sealed class MoveRefusedException(string message, Exception? inner = null) : Exception(message, inner);
