using System.CommandLine;
using Distributed.Cli.Bench;
using Distributed.Cli.Output;
using Distributed.Core;
using Distributed.Core.Synthetic;
using Distributed.Worker;
using Spectre.Console;

namespace Distributed.Cli.Commands;

/// <summary><c>bench</c>: prefill and decode figures of a model or of random weights, each beside its limit.</summary>
internal sealed class BenchCommand : Command
{
    private readonly Terminal _terminal;

    public BenchCommand(Terminal terminal)
        : base("bench", "Time prefill and decode of a model or of random weights, beside what the machine allows")
    {
        _terminal = terminal;
        BenchFlags.AddTo(this);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var options = BenchFlags.Read(flags);
        if (options is not null && flags.GetValue(BenchFlags.StartupProbe))
        {
            Json.WriteLine(_terminal.Out, StartupProbe.Run(Path(flags), options.Threads[0], options.KvType));
            return ExitCode.Done;
        }

        var device = options is null ? null : LocalDevice.Open(options.Device, Math.Max(options.Threads[0], 1));
        using var model = Open(flags, options, device, cancellation);
        if (options is null || device is null)
            return ExitCode.Done;
        var machine = Machine.This;
        _terminal.Error.WriteLine($"{machine.Cpu}, {machine.Cores} cores, {machine.Instructions}, {machine.Runtime}");
        if (device.Name != DeviceInventory.Cpu)
            _terminal.Error.WriteLine($"{device.Name}: {device.Hardware}, {Units.Bytes(device.MemoryLimit)} for stages");
        if (flags.GetValue(BenchFlags.Startup))
        {
            var rows = await new StartupRun(model, options, cancellation).RunAsync();
            Print(flags, rows, BenchTable.Of(rows));
        }
        else
        {
            var rows = await RunAsync(model, options, device, cancellation);
            Print(
                flags, rows,
                [BenchTable.Of(rows), .. rows.Any(row => row.Hops.Count > 0) ? [BenchTable.OfHops(rows)] : (Spectre.Console.Table[])[],
                    BenchTable.OfMemory(rows[^1].Memory),
                    .. rows[^1].Memory.Workers.Count > 0 ? [BenchTable.OfWorkers(rows[^1].Memory)] : (Spectre.Console.Table[])[]]);
        }
        return ExitCode.Done;
    }

    private void Print<T>(ParseResult flags, IReadOnlyList<T> rows, params IReadOnlyList<Table> tables)
    {
        if (flags.GetValue(CommonOptions.Json))
            Json.Write(_terminal.Out, rows);
        else
            foreach (var table in tables)
                _terminal.OutConsole.Write(table);
    }

    private Task<IReadOnlyList<BenchRow>> RunAsync(BenchModel model, BenchOptions options, Device device, CancellationToken cancellation) =>
        _terminal.ShowsProgress
            ? _terminal.ErrorConsole.Status().StartAsync(
                "starting", status => new BenchRun(model, options, device, text => status.Status(Markup.Escape(text)), cancellation).RunAsync())
            : new BenchRun(model, options, device, _ => { }, cancellation).RunAsync();

    private BenchModel Open(ParseResult flags, BenchOptions? options, Device? device, CancellationToken cancellation)
    {
        if (flags.GetValue(BenchFlags.Synthetic) is { } text)
        {
            var plan = SyntheticPlan.Parse(text, BenchFlags.Synthetic.Name);
            if (BenchRoom.Error(plan.Config, plan.Bytes, options, device) is { } error)
                throw plan.Error(error);
            return BenchModel.Make(
                _terminal, plan, (ulong)(flags.GetValue(BenchFlags.Seed) ?? 1), flags.GetValue(BenchFlags.Save),
                asFile: options?.Workers > 0 || flags.GetValue(BenchFlags.Startup), cancellation);
        }

        var path = Path(flags);
        var model = BenchModel.Open(path);
        try
        {
            return BenchRoom.Error(model.Model.Config, model.Model.Bytes, options, device) is { } rule
                ? throw new InvalidInputException(CommonOptions.Model.Name, path, rule)
                : model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    private static string Path(ParseResult flags) => flags.GetValue(CommonOptions.Model) ?? SampleModel.Path;
}
