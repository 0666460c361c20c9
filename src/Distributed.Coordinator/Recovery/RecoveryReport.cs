using System.Globalization;

namespace Distributed.Coordinator.Recovery;

/// <summary>How long a pipeline stood still because of a failure, and why. Times are ms.</summary>
/// <param name="At">When the failure was noticed.</param>
/// <param name="Worker">The worker that was lost, or said what failed.</param>
/// <param name="Reason">What failed.</param>
/// <param name="Epoch">The epoch of the pipeline that took over.</param>
/// <param name="Stages">The placement that took over, as <c>worker/device layers</c>.</param>
/// <param name="Attempts">How many plans were made until one could be loaded, or was possible at all.</param>
/// <param name="NoticingMs">
/// At most so long before the failure was noticed it had happened: since then nothing had been heard of the worker.
/// </param>
/// <param name="ReplanningMs">From noticing to the plan: the lost stages unloaded, the workers asked; attempts that failed are part of it.</param>
/// <param name="LoadingMs">Until the stages were loaded and connected.</param>
/// <param name="ReplayingMs">Until every sequence had its KV cache again and its next token; null where that was broken off.</param>
/// <param name="Sequences">Sequences that had tokens in the KV cache.</param>
/// <param name="ReplayedTokens">Tokens that were computed again for them.</param>
public sealed record RecoveryReport(
    DateTimeOffset At, string Worker, string Reason, long Epoch, IReadOnlyList<string> Stages, int Attempts, double NoticingMs,
    double ReplanningMs, double LoadingMs, double? ReplayingMs, int Sequences, int ReplayedTokens)
{
    /// <summary>From noticing until every sequence went on.</summary>
    public double TotalMs => ReplanningMs + LoadingMs + (ReplayingMs ?? 0);

    /// <summary>One line for people.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Worker} lost ({Reason}): epoch {Epoch} on {string.Join(", ", Stages)} after {TotalMs:0} ms · noticed within {NoticingMs:0} ms · "
        + $"replanning {ReplanningMs:0} ms{(Attempts > 1 ? $" in {Attempts} attempts" : "")} · loading {LoadingMs:0} ms · replaying "
        + $"{ReplayedTokens} tokens of {Sequences} sequences {(ReplayingMs is { } replaying ? $"{replaying:0} ms" : "broken off")}");
}
