using System.Globalization;

namespace Distributed.Cli.Lab;

/// <summary>What a soak does to a cluster.</summary>
internal enum SoakKind
{
    /// <summary>SIGKILL of a worker, which is started again after a while.</summary>
    KillWorker,

    /// <summary>SIGSTOP of a worker, and SIGCONT after a while.</summary>
    StopWorker,

    /// <summary>SIGTERM of a worker, which is started again.</summary>
    EndWorker,

    /// <summary>SIGKILL of the coordinator, which is started again at once.</summary>
    KillCoordinator,

    /// <summary>A worker's layers are moved away, and some are back after a while.</summary>
    Drain,

    /// <summary>The model is placed anew.</summary>
    Rebalance,

    /// <summary>A client calls its answer off.</summary>
    Cancel,
}

/// <summary>One thing that was done.</summary>
/// <param name="Seconds">When, from the first request on.</param>
/// <param name="Kind">What.</param>
/// <param name="Target">To whom.</param>
/// <param name="DownMs">How long it was meant to be away, in ms; null where it is not.</param>
/// <param name="Streams">Answers that were coming.</param>
/// <param name="GapMs">The longest pause that one of these had then, in ms; null where none was coming.</param>
/// <param name="IsDone">Whether it could be done; not where a move was refused or cut off.</param>
internal sealed record SoakFault(double Seconds, SoakKind Kind, string Target, double? DownMs, int Streams, double? GapMs, bool IsDone)
{
    /// <summary>The heads of <see cref="Cells"/>.</summary>
    public static string[] Heads { get; } = ["seconds", "fault", "target", "down_ms", "streams", "gap_ms", "done"];

    /// <summary>The row of <c>data.csv</c>.</summary>
    public object?[] Cells() => [Seconds, NameOf(Kind), Target, DownMs, Streams, GapMs, IsDone ? 1 : 0];

    /// <summary>What people call it.</summary>
    public static string NameOf(SoakKind kind) => kind switch
    {
        SoakKind.KillWorker => "worker killed",
        SoakKind.StopWorker => "worker stopped",
        SoakKind.EndWorker => "worker ended",
        SoakKind.KillCoordinator => "coordinator killed",
        SoakKind.Drain => "worker drained",
        SoakKind.Rebalance => "rebalanced",
        _ => "client gone",
    };

    /// <summary>One line for who waits.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Seconds,6:0.0} s  {NameOf(Kind)}{(Target.Length > 0 ? $", {Target}" : "")} · {Streams} answers"
        + $"{(GapMs is { } gap ? $", longest pause {gap:0} ms" : "")}{(IsDone ? "" : " · not done")}");
}
