using Distributed.Cli.Bench;
using Distributed.Cli.Output;
using Spectre.Console;

namespace Distributed.Cli.Lab;

/// <summary>The medians of one phase on one split; times in ms per token, null where there is no such stage or hop.</summary>
/// <param name="LayersA">Layers on the first device.</param>
/// <param name="LayersB">Layers on the second one.</param>
/// <param name="Phase"><c>prefill</c> or <c>decode</c>.</param>
/// <param name="Tokens">Tokens of the phase.</param>
/// <param name="Repeats">How many measurements.</param>
/// <param name="MsPerToken">The median.</param>
/// <param name="Min">The quickest measurement.</param>
/// <param name="Max">The slowest one.</param>
/// <param name="ComputeMsA">What the first device computed.</param>
/// <param name="ComputeMsB">What the second one computed.</param>
/// <param name="HopMs">The hop between them.</param>
/// <param name="CoordinatorMs">All that passes between the coordinator and the stages.</param>
/// <param name="PredictedMsPerToken">What was predicted; null where nothing was.</param>
internal sealed record SplitMedian(
    int LayersA, int LayersB, string Phase, int Tokens, int Repeats, double MsPerToken, double Min, double Max, double? ComputeMsA,
    double? ComputeMsB, double? HopMs, double CoordinatorMs, double? PredictedMsPerToken)
{
    /// <summary>The medians of all phases and splits, in that order.</summary>
    public static IReadOnlyList<SplitMedian> Of(IEnumerable<SplitRow> rows) =>
    [
        .. from row in rows
           group row by (IsDecode: row.Phase == "decode", row.LayersA) into same
           orderby same.Key
           let first = same.First()
           select new SplitMedian(
               first.LayersA, first.LayersB, first.Phase, first.Tokens, same.Count(), Median(same, row => row.MsPerToken)!.Value,
               same.Min(row => row.MsPerToken), same.Max(row => row.MsPerToken), Median(same, row => row.ComputeMsA),
               Median(same, row => row.ComputeMsB), Median(same, row => row.HopMs), Median(same, row => row.CoordinatorMs)!.Value,
               first.PredictedMsPerToken),
    ];

    /// <summary>The medians for people.</summary>
    public static Table Table(IReadOnlyList<SplitMedian> medians)
    {
        var isPredicted = medians.Any(median => median.PredictedMsPerToken is not null);
        string[] heads =
        [
            "phase", ">layers a", ">layers b", ">ms/token", ">min", ">max", ">compute a", ">compute b", ">hop", ">coordinator",
        ];
        var table = Tables.Create(isPredicted ? [.. heads, ">predicted"] : heads);
        foreach (var median in medians)
        {
            string[] cells =
            [
                median.Phase, $"{median.LayersA}", $"{median.LayersB}", Figure(median.MsPerToken), Figure(median.Min), Figure(median.Max),
                Figure(median.ComputeMsA), Figure(median.ComputeMsB), Figure(median.HopMs), Figure(median.CoordinatorMs),
            ];
            table.Line(isPredicted ? [.. cells, Figure(median.PredictedMsPerToken)] : cells);
        }

        return table;
    }

    private static double? Median(IEnumerable<SplitRow> rows, Func<SplitRow, double?> value) =>
        rows.Select(value).OfType<double>().ToList() is { Count: > 0 } known ? Statistics.Median(known) : null;

    private static string Figure(double? milliseconds) =>
        milliseconds is { } value ? value.ToString(value < 10 ? "0.000" : "0.0", System.Globalization.CultureInfo.InvariantCulture) : "-";
}
