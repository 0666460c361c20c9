using System.Globalization;
using Distributed.Cli.Output;
using Spectre.Console;

namespace Distributed.Cli.Bench;

/// <summary>The rows of a bench for people.</summary>
internal static class BenchTable
{
    /// <summary>The figures, each beside its limit.</summary>
    public static Table Of(IReadOnlyList<BenchRow> rows)
    {
        var table = Tables.Create(
            "test", ">tokens", ">depth", ">seqs", ">threads", ">tok/s", ">±", ">min", ">max", ">ms/token", ">GB/s", ">of", ">Gop/s", ">of",
            ">of the limit");
        foreach (var row in rows)
        {
            table.Line(
                row.Test,
                $"{row.Tokens}",
                $"{row.Depth}",
                $"{row.Sequences}",
                $"{row.Threads}",
                Figure(row.TokensPerSecond),
                Figure(row.Stdev),
                Figure(row.Min),
                Figure(row.Max),
                Figure(row.MsPerToken),
                Figure(row.BandwidthGBps),
                Figure(row.LimitGBps),
                Figure(row.Gops),
                Figure(row.LimitGops),
                string.Create(CultureInfo.InvariantCulture, $"{row.PercentOfLimit:0} % ({row.LimitedBy}{(row.LimitThreads == row.Threads ? "" : $", {row.LimitThreads} threads")})"));
        }
        return table;
    }

    /// <summary>The memory taken, all tests together.</summary>
    public static Table OfMemory(BenchMemory memory) =>
        Tables.Create(">weights", ">KV cache", ">scratch", ">together", ">forecast", ">peak of the process").Line(
            Units.Bytes(memory.Weights),
            Units.Bytes(memory.KvCache),
            Units.Bytes(memory.Scratch),
            Units.Bytes(memory.Weights + memory.KvCache + memory.Scratch),
            Units.Bytes(memory.Forecast),
            Units.Bytes(memory.PeakResident));

    /// <summary>The memory of each worker by its own account, beside its limit.</summary>
    public static Table OfWorkers(BenchMemory memory)
    {
        var table = Tables.Create(
            "worker", ">layers", ">limit", ">forecast", ">taken", ">of the limit", ">beside: runtime, code, frames", ">resident", ">peak");
        foreach (var worker in memory.Workers)
        {
            table.Line(
                worker.Worker,
                worker.Layers,
                Units.Bytes(worker.Limit),
                Units.Bytes(worker.Forecast),
                Units.Bytes(worker.Taken),
                string.Create(CultureInfo.InvariantCulture, $"{100.0 * worker.Taken / worker.Limit:0} %"),
                Units.Bytes(Math.Max(0, worker.Beside)),
                Units.Bytes(worker.Resident),
                Units.Bytes(worker.PeakResident));
        }

        return table;
    }

    /// <summary>The hops of the tests: medians from the waterfall.</summary>
    public static Table OfHops(IReadOnlyList<BenchRow> rows)
    {
        var table = Tables.Create("test", ">tokens", "hop", ">steps", ">median", ">serialize", ">wire", ">deserialize", ">queue", ">bytes", ">plain socket");
        foreach (var row in rows)
        {
            foreach (var hop in row.Hops)
                table.Line(
                    row.Test, $"{row.Tokens}", $"{hop.From} to {hop.To}", $"{hop.Steps}", Units.Microseconds(hop.MedianUs),
                    Units.Microseconds(hop.SerializeUs), Units.Microseconds(hop.WireUs), Units.Microseconds(hop.DeserializeUs),
                    Units.Microseconds(hop.QueueUs), Units.Bytes(hop.Bytes),
                    hop.RawUs is { } raw ? Units.Microseconds(raw) : "");
        }

        return table;
    }

    /// <summary>Times of new processes, in milliseconds.</summary>
    public static Table Of(IReadOnlyList<StartupRow> rows)
    {
        var table = Tables.Create(
            "test", ">threads", ">process to token", ">open to token", ">±", ">min", ">max", ">process", ">open", ">load", ">token",
            ">read", ">times read");
        foreach (var row in rows)
        {
            table.Line(
                row.Test,
                $"{row.Threads}",
                Units.Milliseconds(row.ProcessToTokenMs),
                Units.Milliseconds(row.OpenToTokenMs),
                Figure(row.Stdev),
                Figure(row.Min),
                Figure(row.Max),
                Figure(row.Parts.Process),
                Figure(row.Parts.Open),
                Figure(row.Parts.Load),
                Figure(row.Parts.Token),
                Units.Milliseconds(row.ReadMs),
                Figure(row.TimesRead));
        }
        return table;
    }

    private static string Figure(double value) => value.ToString(value < 1 ? "0.00" : "0.0", CultureInfo.InvariantCulture);
}
