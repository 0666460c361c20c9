using System.Globalization;
using Distributed.Coordinator.Api;
using Spectre.Console;

namespace Distributed.Cli.Output;

/// <summary>A coordinator's status for people.</summary>
internal static class StatusTables
{
    /// <summary>Prints all of it to stdout.</summary>
    public static void Print(Terminal terminal, ClusterStatus status)
    {
        terminal.Out.WriteLine(Printable.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"{status.Model}, {status.State}{(status.Reason is null ? "" : $": {status.Reason}")} · {status.Running} running, {status.Waiting} waiting, "
            + $"room for {status.Sequences} sequences of {status.Context} tokens{Predicted(status)} · chosen: {status.Choice.Rule}")));
        if (status.Leadership is { } leadership)
            terminal.Out.WriteLine(Printable.Line($"{leadership}"));
        terminal.Out.WriteLine();
        terminal.OutConsole.Section("placement", OfStages(status));
        terminal.OutConsole.Section("workers", OfWorkers(status));
        terminal.OutConsole.Section("products, GB of weights per second with 1, 8 and 256 tokens", OfProducts(status));
        terminal.OutConsole.Section("links", OfLinks(status.Links));
        foreach (var recovery in status.Recoveries)
            terminal.Error.WriteLine($"recovered at {recovery.At:u}: {Printable.Line($"{recovery}")}");
        if (status.Unwritten is { } unwritten)
            terminal.Error.WriteLine($"warning: sessions are not being written: {Printable.Line(unwritten)}");
        if (status.Choice.Note is { } note)
            terminal.Error.WriteLine($"warning: {note}");
        foreach (var worker in status.Workers.Where(worker => worker.Reason is not null))
            terminal.Error.WriteLine($"warning: {worker.Reason}");
    }

    /// <summary>Links, as they were measured for the plan.</summary>
    public static Table OfLinks(IReadOnlyList<LinkStatus> links)
    {
        var table = Tables.Create("from", "to", ">round trip", ">GB/s");
        foreach (var link in links)
            table.Line(link.From, link.To, Units.Milliseconds(link.RoundTripMs), Rate(link.BytesPerSecond));
        return table;
    }

    private static string Predicted(ClusterStatus status) => status.DecodeMs is { } ms
        ? string.Create(CultureInfo.InvariantCulture, $" · predicted {ms:0.00} ms/token at half the context")
        : "";

    private static Table OfStages(ClusterStatus status)
    {
        var table = Tables.Create(">stage", "worker", "device", ">layers", ">weights", ">KV cache", ">scratch", ">total");
        foreach (var stage in status.Stages)
        {
            table.Line(
                $"{stage.Stage}", stage.Worker, stage.Device,
                PlacementTable.Layers(stage.FirstLayer, stage.EndLayer),
                Units.Bytes(stage.Memory.Weights + stage.Memory.LmHead), Units.Bytes(stage.Memory.KvCache),
                Units.Bytes(stage.Memory.Activations + stage.Memory.Scratch), Units.Bytes(stage.Memory.Total));
        }

        return table;
    }

    private static Table OfWorkers(ClusterStatus status)
    {
        var table = Tables.Create("worker", "address", "answers", "device", "hardware", ">threads", ">used", ">limit", ">GB/s read");
        foreach (var worker in status.Workers)
        {
            if (worker.Devices.Count == 0)
                table.Line(worker.Worker, worker.Address, worker.Answers ? "yes" : "no", "-", "-", "-", "-", "-", "-");
            foreach (var device in worker.Devices)
            {
                table.Line(
                    worker.Worker, worker.Address, worker.Answers ? "yes" : "no", device.Device, device.Hardware, $"{device.Threads}",
                    Units.Bytes(device.MemoryUsed), Units.Bytes(device.MemoryLimit), Rate(device.Profile?.ReadBytesPerSecond));
            }
        }

        return table;
    }

    private static Table OfProducts(ClusterStatus status)
    {
        var table = Tables.Create("worker", "device", "weights", ">1", ">8", ">256");
        foreach (var worker in status.Workers)
            foreach (var device in worker.Devices)
                foreach (var product in device.Profile?.Products ?? [])
                    table.Line(worker.Worker, device.Device, product.Type, Rate(product.One), Rate(product.Few), Rate(product.Many));
        return table;
    }

    private static string Rate(double? perSecond) =>
        perSecond is { } rate ? (rate / 1e9).ToString("0.00", CultureInfo.InvariantCulture) : "-";
}
