using System.Globalization;
using Distributed.Cli.Bench;
using Distributed.Cli.Output;
using Spectre.Console;

namespace Distributed.Cli.Lab;

/// <summary>Forecasts beside measurements, for people.</summary>
internal static class PlanLabTable
{
    /// <summary>A row for each split.</summary>
    public static Table Of(IReadOnlyList<PlanLabRow> rows)
    {
        var table = Tables.Create(
            "model", ">workers", ">threads", "link", ">decode predicted", ">measured", ">off", ">prefill predicted", ">measured", ">off",
            ">memory forecast", ">taken", ">off", "wrong");
        foreach (var row in rows)
        {
            table.Line(
                row.Model, $"{row.Workers}", $"{row.Threads}", row.Link,
                Units.Milliseconds(row.Decode), Units.Milliseconds(row.DecodeMeasured), Percent(row.DecodeError),
                Units.Milliseconds(row.Prefill), Units.Milliseconds(row.PrefillMeasured), Percent(row.PrefillError),
                Units.Bytes(row.Memory), Units.Bytes(row.MemoryTaken), Percent(row.MemoryError), row.Wrong);
        }

        return table;
    }

    /// <summary>A split on one line, for who waits.</summary>
    public static string LineOf(PlanLabRow row) => string.Create(
        CultureInfo.InvariantCulture,
        $"{row.Model}, workers {row.Workers}, threads {row.Threads}{(row.Link is "" ? "" : $", {row.Link}")}: decode predicted {Units.Milliseconds(row.Decode)}, measured "
        + $"{Units.Milliseconds(row.DecodeMeasured)} · prefill predicted {Units.Milliseconds(row.Prefill)}, measured {Units.Milliseconds(row.PrefillMeasured)}");

    /// <summary>Median and worst of all errors.</summary>
    public static Table OfErrors(IReadOnlyList<PlanLabRow> rows)
    {
        var table = Tables.Create("error", ">median", ">worst");
        Add("decode", row => row.DecodeError);
        Add("prefill", row => row.PrefillError);
        Add("memory", row => row.MemoryError);
        return table;

        void Add(string name, Func<PlanLabRow, double> error) => table.Line(
            name, Percent(Statistics.Median(rows.Select(row => Math.Abs(error(row))))), Percent(rows.Max(row => Math.Abs(error(row)))));
    }

    private static string Percent(double part) => string.Create(CultureInfo.InvariantCulture, $"{100 * part:0.0} %");
}
