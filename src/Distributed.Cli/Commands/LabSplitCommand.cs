using System.CommandLine;
using Distributed.Cli.Bench;
using Distributed.Cli.Lab;
using Distributed.Cli.Output;
using Distributed.Cluster.Config;
using Distributed.Core.Synthetic;
using Spectre.Console;

namespace Distributed.Cli.Commands;

/// <summary><c>lab split</c>: the same model with 0 … L layers on one device and the rest on another.</summary>
internal sealed class LabSplitCommand : Command
{
    private readonly Terminal _terminal;

    public LabSplitCommand(Terminal terminal)
        : base("split", "Measure a model with 0 to all of its layers on one device and the rest on another")
    {
        _terminal = terminal;
        LabSplitFlags.AddTo(this);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var cluster = flags.GetValue(CommonOptions.Cluster) is { } file ? ClusterFile.Load(file, config => ClusterFlags.Door(flags, config)) : null;
        var shape = flags.GetValue(BenchFlags.Synthetic) is { } text ? SyntheticPlan.Parse(text, BenchFlags.Synthetic.Name) : null;
        using var opened = shape is null ? BenchModel.Open(flags.GetValue(CommonOptions.Model) ?? cluster?.Model ?? SampleModel.Path) : null;
        var (options, devices) = LabSplitFlags.Read(flags, shape?.Config ?? opened!.Model.Config, cluster);
        using var folder = new LabFolder(LabSplitFlags.Out.Name, flags.GetValue(LabSplitFlags.Out), "split");
        // Weights are made once nothing else can be wrong.
        using var made = shape is null ? null : Make(shape, flags, cancellation);
        var model = made ?? opened!;
        await using var target = await SplitTarget.OpenAsync(devices, model.Model, options, isMade: made is not null, cancellation);
        var plans = SplitPlan.All(
            model.Model, options, target.Config, target.A, target.B, target.Survey,
            (layers, reason) => _terminal.Error.WriteLine($"warning: {layers} layers on a are left out: {reason}"));

        var record = LabModel.Of(model, flags.GetValue(BenchFlags.Synthetic) ?? model.Model.Path);
        folder.WriteJson("setup.json", new LabSetup<SplitOptions>(
            "split", [.. flags.Tokens.Select(token => token.Value)], record, [target.A, target.B], options));
        var rows = await MeasureAsync(new SplitRun(model.Model, options, plans), folder, cancellation);

        var medians = SplitMedian.Of(rows);
        if (flags.GetValue(CommonOptions.Json))
            Json.Write(_terminal.Out, medians);
        else
            _terminal.OutConsole.Write(SplitMedian.Table(medians));
        // Behind the result: whatever becomes of the pictures, it is there.
        new SplitPlot(record, new SplitDevice(target.A), new SplitDevice(target.B)).Save(folder, rows);
        if (!LabPlot.HasFonts)
            _terminal.Error.WriteLine("warning: no font is installed here, so the plots have no text; on Debian, fonts-dejavu-core has some");
        _terminal.Error.WriteLine($"data.csv, setup.json, split.png and split.svg are in {folder}");
        return ExitCode.Done;
    }

    private async Task<IReadOnlyList<SplitRow>> MeasureAsync(SplitRun run, LabFolder folder, CancellationToken cancellation)
    {
        var rows = new List<SplitRow>();
        using var csv = new LabCsv(folder.File("data.csv"), SplitRow.Heads);
        if (_terminal.ShowsProgress)
            await _terminal.ErrorConsole.Status().StartAsync(
                "starting", status => run.RunAsync(Measured, text => status.Status(Markup.Escape(text)), cancellation));
        else
            await run.RunAsync(Measured, _ => { }, cancellation);
        return rows;

        void Measured(SplitRow row)
        {
            csv.Add(row.Cells);
            rows.Add(row);
        }
    }

    private BenchModel Make(SyntheticPlan plan, ParseResult flags, CancellationToken cancellation)
    {
        if (BenchRoom.Error(plan.Config, plan.Bytes, options: null, device: null) is { } error)
            throw plan.Error(error);
        return BenchModel.Make(_terminal, plan, (ulong)LabSplitFlags.ReadSeed(flags), save: null, asFile: true, cancellation);
    }
}
