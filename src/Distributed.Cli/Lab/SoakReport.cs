using System.Diagnostics;
using System.Globalization;
using Distributed.Cli.Bench;
using Distributed.Cli.Output;
using Spectre.Console;

namespace Distributed.Cli.Lab;

/// <summary>What a soak came to.</summary>
/// <param name="Seconds">From the first request to the last answer.</param>
/// <param name="Started">Answers asked for.</param>
/// <param name="Finished">Those that came whole.</param>
/// <param name="Exact">Those of them with the text of an undisturbed run.</param>
/// <param name="Cancelled">Those that a client called off.</param>
/// <param name="Inexact">Answers, whole or called off, with other text than an undisturbed run gives there; must be 0.</param>
/// <param name="Lost">Those that failed; must be 0.</param>
/// <param name="AskedAgain">How often a client asked again because the coordinator had been killed.</param>
/// <param name="Faults">What was done.</param>
/// <param name="Memory">The processes.</param>
internal sealed record SoakReport(
    double Seconds, int Started, int Finished, int Exact, int Cancelled, int Inexact, int Lost, int AskedAgain,
    IReadOnlyList<SoakFaults> Faults, IReadOnlyList<SoakMemory> Memory)
{
    /// <summary>Whether every answer came, and was the right one.</summary>
    public bool IsClean => Lost == 0 && Inexact == 0 && Finished + Cancelled == Started;

    /// <summary>Puts it together.</summary>
    public static SoakReport Of(TimeSpan time, IReadOnlyList<SoakAnswer> answers, IReadOnlyList<SoakFault> faults, IReadOnlyList<SoakMemory> memory) => new(
        time.TotalSeconds,
        answers.Count,
        answers.Count(answer => answer.Outcome == SoakOutcome.Finished),
        answers.Count(answer => answer is { Outcome: SoakOutcome.Finished, IsExact: true }),
        answers.Count(answer => answer.Outcome == SoakOutcome.Cancelled),
        answers.Count(answer => !answer.IsExact),
        answers.Count(answer => answer.Outcome == SoakOutcome.Lost),
        answers.Sum(answer => answer.AskedAgain),
        [.. faults.GroupBy(fault => fault.Kind).OrderBy(group => group.Key).Select(group => SoakFaults.Of(group.Key, [.. group]))],
        memory);

    /// <summary>The tables for people.</summary>
    public void Print(IAnsiConsole console)
    {
        var requests = Tables.Create(">seconds", ">started", ">finished", ">exact", ">cancelled", ">inexact", ">lost", ">asked again");
        requests.Line(
            string.Create(CultureInfo.InvariantCulture, $"{Seconds:0}"), $"{Started}", $"{Finished}", $"{Exact}", $"{Cancelled}", $"{Inexact}", $"{Lost}",
            $"{AskedAgain}");
        console.Section("requests", requests);
        var faults = Tables.Create("fault", ">times", ">not done", ">pause, median", ">worst");
        foreach (var row in Faults)
            faults.Line(SoakFault.NameOf(row.Kind), $"{row.Count}", $"{row.NotDone}", Milliseconds(row.GapMedianMs), Milliseconds(row.GapWorstMs));
        console.Section("faults", faults);
        var memory = Tables.Create("process", ">starts", ">memory at start", ">at end", ">then running for");
        foreach (var row in Memory)
            memory.Line(
                row.Process, $"{row.Starts}", Units.Bytes(row.StartBytes), Units.Bytes(row.EndBytes),
                string.Create(CultureInfo.InvariantCulture, $"{row.SecondsSinceStart:0} s"));
        console.Section("memory", memory);
    }

    private static string Milliseconds(double? time) => time is { } ms ? string.Create(CultureInfo.InvariantCulture, $"{ms:0} ms") : "-";
}

/// <summary>All faults of a kind.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="Count">How many.</param>
/// <param name="NotDone">Of them, moves that were refused, or cut off by another fault.</param>
/// <param name="GapMedianMs">The longest pause among the answers that were coming, the fault in the middle; null where none was coming.</param>
/// <param name="GapWorstMs">The worst fault; one that comes while another is not over counts both.</param>
internal sealed record SoakFaults(SoakKind Kind, int Count, int NotDone, double? GapMedianMs, double? GapWorstMs)
{
    /// <summary>Sums them up.</summary>
    public static SoakFaults Of(SoakKind kind, IReadOnlyList<SoakFault> faults)
    {
        double[] gaps = [.. faults.Select(fault => fault.GapMs).OfType<double>()];
        return new SoakFaults(
            kind, faults.Count, faults.Count(fault => !fault.IsDone), gaps.Length > 0 ? Statistics.Median(gaps) : null, gaps.Length > 0 ? gaps.Max() : null);
    }
}

/// <summary>A process's memory, pages of mapped files included.</summary>
/// <param name="Process">Its name.</param>
/// <param name="Starts">How often it was started.</param>
/// <param name="StartBytes">After everything had been asked for once, before the first fault.</param>
/// <param name="EndBytes">After the last answer.</param>
/// <param name="SecondsSinceStart">How long the process had been running then.</param>
internal sealed record SoakMemory(string Process, int Starts, long StartBytes, long EndBytes, double SecondsSinceStart)
{
    /// <summary>Looks at the processes again.</summary>
    /// <param name="nodes">The processes.</param>
    /// <param name="before">What they had at the start.</param>
    public static IReadOnlyList<SoakMemory> Of(IReadOnlyList<SoakNode> nodes, IReadOnlyList<long?> before) =>
    [
        .. nodes.Zip(before).Select(pair => new SoakMemory(
            pair.First.Name, pair.First.Starts, pair.Second ?? 0, pair.First.Memory ?? 0, Stopwatch.GetElapsedTime(pair.First.StartedAt).TotalSeconds)),
    ];
}
