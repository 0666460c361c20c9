using System.Globalization;
using Distributed.Cluster.Config;
using Distributed.Coordinator.Api;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Spectre.Console;

namespace Distributed.Cli.Output;

/// <summary>Which stage has which layers, and the memory it takes.</summary>
internal static class PlacementTable
{
    /// <summary>Prints to stderr what the loaded stages of a run have taken, and which devices are not used.</summary>
    /// <param name="terminal">Where.</param>
    /// <param name="placement">Where the stages are.</param>
    /// <param name="memory">The workers' own account, in the order of the stages.</param>
    public static void PrintRun(Terminal terminal, Placement placement, IReadOnlyList<StageMemory> memory)
    {
        terminal.ErrorConsole.Write(OfRun(placement, memory));
        Warn(terminal, placement);
    }

    /// <summary>Prints a plan to stdout: every part of the forecast, and what is left of each device.</summary>
    /// <param name="terminal">Where.</param>
    /// <param name="placement">The plan.</param>
    /// <param name="config">The cluster.</param>
    public static void PrintPlan(Terminal terminal, Placement placement, ClusterConfig config)
    {
        terminal.OutConsole.Write(OfPlan(placement));
        if (PlanForecast.Of(placement, config) is { } forecast)
        {
            terminal.OutConsole.WriteLine();
            terminal.OutConsole.Write(OfForecast(placement, forecast));
            terminal.Out.WriteLine(Printable.Line(string.Create(
                CultureInfo.InvariantCulture,
                $"decode {forecast.Decode.TokenMs:0.00} ms/token with {Count(forecast.Sequences, "sequence")} of {forecast.Keys:0} tokens · "
                + $"prefill of {forecast.PrefillTokens} tokens {forecast.Prefill.TokenMs:0.0} ms · chosen: {placement.Choice.Rule}")));
            terminal.Out.WriteLine(Printable.Line($"next best: {placement.Choice.NextBest ?? "no other was looked for, or none fits"}"));
        }

        if (LinkStatus.Of(placement.Links) is { Count: > 0 } links)
        {
            terminal.OutConsole.WriteLine();
            terminal.OutConsole.Write(StatusTables.OfLinks(links));
        }

        Warn(terminal, placement);
    }

    /// <summary>A stage's layers, as tables show them.</summary>
    /// <param name="first">The first layer.</param>
    /// <param name="end">The layer behind the last one.</param>
    public static string Layers(int first, int end) => (end - first) switch
    {
        0 => "-",
        1 => $"{first}",
        _ => $"{first}-{end - 1}",
    };

    private static string Count(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";

    private static Table OfForecast(Placement placement, PlanForecast forecast)
    {
        var table = Tables.Create(">stage", "worker", ">decode: compute", ">hop to it", ">prefill: compute", ">hops to it");
        for (var stage = 0; stage <= placement.Stages.Count; stage++)
        {
            var isBack = stage == placement.Stages.Count;
            table.Line(
                isBack ? "" : $"{stage}",
                isBack ? "back to the coordinator" : placement.Stages[stage].Worker,
                isBack ? "" : Units.Milliseconds(forecast.Decode.Stages[stage]),
                Units.Milliseconds(forecast.Decode.Hops[stage]),
                isBack ? "" : Units.Milliseconds(forecast.Prefill.Stages[stage]),
                Units.Milliseconds(forecast.Prefill.Hops[stage]));
        }

        return table;
    }

    private static void Warn(Terminal terminal, Placement placement)
    {
        if (placement.Choice.Note is { } note)
            terminal.Error.WriteLine($"warning: {note}");
        foreach (var (worker, device, reason) in placement.Unused)
            terminal.Error.WriteLine(Printable.Line($"warning: {(device is null ? worker : $"{worker} {device}")} is not used: {reason}"));
    }

    private static Table OfRun(Placement placement, IReadOnlyList<StageMemory> memory)
    {
        var table = Tables.Create(">stage", "worker", "device", ">layers", ">weights", ">KV cache", ">scratch", ">total");
        foreach (var stage in placement.Stages)
        {
            var taken = memory[stage.Index];
            table.Line(
                $"{stage.Index}",
                stage.Worker,
                stage.Device,
                Layers(stage.Spec),
                Units.Bytes(taken.Weights + taken.LmHead),
                Units.Bytes(taken.KvCache),
                Units.Bytes(taken.Activations + taken.Scratch),
                Units.Bytes(taken.Total));
        }

        return table;
    }

    private static Table OfPlan(Placement placement)
    {
        var table = Tables.Create(
            ">stage", "worker", "device", ">layers", ">weights", ">LM head", ">KV cache", ">activations", ">scratch", ">total",
            ">limit", ">free after");
        foreach (var stage in placement.Stages)
        {
            var forecast = stage.Memory;
            table.Line(
                $"{stage.Index}",
                stage.Worker,
                stage.Device,
                Layers(stage.Spec),
                Units.Bytes(forecast.Weights),
                Units.Bytes(forecast.LmHead),
                Units.Bytes(forecast.KvCache),
                Units.Bytes(forecast.Activations),
                Units.Bytes(forecast.Scratch),
                Units.Bytes(forecast.Total),
                Units.Bytes(stage.Free),
                Units.Bytes(stage.FreeAfter));
        }

        return table;
    }

    private static string Layers(StageSpec spec) => Layers(spec.FirstLayer, spec.EndLayer);
}
