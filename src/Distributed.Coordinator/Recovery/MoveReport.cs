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
/// <param name="Sequences">Sequences that went on on the new stages.</param>
/// <param name="ReplayedTokens">Tokens whose keys and values were computed again there.</param>
/// <param name="PredictedReplayMs">How long it was predicted to take to compute all of them again; null where nothing is predicted.</param>
/// <param name="ReplayingMs">How long that took which was computed again; null where it was broken off.</param>
/// <param name="MigratedTokens">Tokens whose keys and values were fetched from the old stages.</param>
/// <param name="PredictedMigrationMs">How long it was predicted to take to fetch them; null where they could not be fetched.</param>
/// <param name="MigratingMs">How long it took; null where nothing was fetched.</param>
/// <param name="NotMigrated">Why that was given up, so that all was computed again; null where it was not.</param>
public sealed record MoveReport(
    long Epoch, bool IsMoved, IReadOnlyList<string> Stages, IReadOnlyList<string> Drained, bool LoadedBeside, double PlanningMs,
    double LoadingMs, double? GapMs, int Sequences, int ReplayedTokens, double? PredictedReplayMs, double? ReplayingMs,
    int MigratedTokens = 0, double? PredictedMigrationMs = null, double? MigratingMs = null, string? NotMigrated = null)
{
    /// <summary>One line for people.</summary>
    public override string ToString() => IsMoved
        ? string.Create(
            CultureInfo.InvariantCulture,
            $"epoch {Epoch} on {string.Join(", ", Stages)}{NotUsed} · planning {PlanningMs:0} ms · loading {LoadingMs:0} ms"
            + $"{(LoadedBeside ? " beside the old stages" : ", requests waiting")}{Migration} · replayed {ReplayedTokens} tokens of {Sequences} "
            + $"sequences, {Time(ReplayingMs)}{Choice} · streams stood for {Time(GapMs)}")
        : $"epoch {Epoch} stays on {string.Join(", ", Stages)}{NotUsed}: that is the best placement";

    private string NotUsed => Drained.Count == 0 ? "" : $", without {string.Join(", ", Drained)}";

    private string Migration => MigratingMs is { } time
        ? string.Create(CultureInfo.InvariantCulture, $" · migrated the KV cache of {MigratedTokens} tokens, {time:0} ms")
        : NotMigrated is { } reason ? $" · the KV cache could not be migrated ({reason})" : "";

    private string Choice => (PredictedMigrationMs, PredictedReplayMs) switch
    {
        ({ } migration, { } replay) => string.Create(
            CultureInfo.InvariantCulture, $" · predicted: migration {migration:0.0} ms, replay {replay:0.0} ms"),
        (null, { } replay) => string.Create(CultureInfo.InvariantCulture, $" · predicted: replay {replay:0.0} ms"),
        _ => "",
    };

    private static string Time(double? ms) => ms is { } time ? string.Create(CultureInfo.InvariantCulture, $"{time:0} ms") : "broken off";
}

/// <summary>Another placement is not made: the message says why, and nothing has changed.</summary>
/// <param name="message">Why, with numbers.</param>
/// <param name="inner">What said so.</param>
public sealed class MoveRefusedException(string message, Exception? inner = null) : Exception(message, inner);
