using System.CommandLine;
using Distributed.Cli.Bench;
using Distributed.Cli.Lab;
using Distributed.Cli.Output;
using Distributed.Core;
using Distributed.Core.Quantization;
using Distributed.Core.Synthetic;
using Distributed.Worker;

namespace Distributed.Cli.Commands;

/// <summary>
/// <c>lab gpu</c>: all that is to be known of a device, in one command that needs nothing but this program: whether what it computes is
/// right, how fast it is beside what it could do, and what a model costs with 0 to all layers on it and the rest on the processor.
/// </summary>
internal sealed class LabGpuCommand : Command
{
    private const string DefaultShape = "llama-8b";
    private const int DefaultPrefill = 2048;
    private const int DefaultDecode = 64;
    private const int DefaultRepeats = 3;
    private const int DefaultStep = 4;
    private const int DefaultGreedy = 200;
    private const int ManySequences = 16;
    private const int SplitPrefill = 512;
    private const int WarmUpTokens = 4;

    // Each of their launches is on record until all are done.
    private const int MostTimedTokens = 64;

    // What the driver may have taken more or less than was asked for, as a part of it; for small models its own granularity is more.
    private const double MemoryTolerance = 0.03;
    private const double MemoryGranularity = 8 << 20;

    private readonly Terminal _terminal;

    private readonly Option<string?> _out = Flag.Text("--out", "DIR", "A new folder for the results (default lab-gpu-DATE-TIME below the current one)");

    private readonly Option<string?> _shape = Flag.Text(
        "--shape", "SHAPE", $"The shape of the models of random weights that are timed, as Q4_0 and Q8_0 (default {DefaultShape})");

    private readonly Option<string?> _types = Flag.Text("--types", "TYPE[,TYPE…]", "Formats of weights whose products are checked (default all)");

    private readonly Option<string?> _golden = Flag.Text("--golden", "DIR", "Reference logits to check, too: *.json that name models, ids and logits");

    private readonly Option<int?> _prefill = Flag.Whole("--prefill", $"Tokens of the prompts (default {DefaultPrefill})", 1, 1 << 20, "-p");

    private readonly Option<int?> _decode = Flag.Whole("--decode", $"Tokens of the answers (default {DefaultDecode})", 1, 1 << 20, "-n");

    private readonly Option<int?> _greedy =
        Flag.Whole("--greedy", $"Likeliest tokens of the sample model to compare with the processor's (default {DefaultGreedy})", 1, 1 << 20);

    private readonly Option<int?> _step = Flag.Whole("--step", $"Split at every so many layers (default {DefaultStep})", 1, 1024);

    private readonly Option<int?> _repeat = Flag.Whole("--repeat", $"Timed runs of each test (default {DefaultRepeats})", 1, 1000, "-r");

    public LabGpuCommand(Terminal terminal)
        : base("gpu", "Check a device against the processor, time it beside its limits, and split a model between both")
    {
        _terminal = terminal;
        foreach (var option in (Option[])
            [
                CommonOptions.Device, CommonOptions.Threads, _out, _shape, _types, _golden, _prefill, _decode, _greedy, _step, _repeat,
                CommonOptions.Json, CommonOptions.LogLevel,
            ])
            Options.Add(option);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var threads = flags.GetValue(CommonOptions.Threads) ?? Environment.ProcessorCount;
        if (LocalDevice.NameIn(flags) == DeviceInventory.Cpu)
            throw new InvalidInputException(
                CommonOptions.Device.Name, flags.GetValue(CommonOptions.Device), "must name a device other than the processor");
        var types = ReadTypes(flags);
        var golden = flags.GetValue(_golden) is { } known ? DeviceChecks.GoldenIn(_golden.Name, known) : [];
        var shape = flags.GetValue(_shape) ?? DefaultShape;
        SyntheticPlan[] plans = [SyntheticPlan.Parse($"{shape}:q4_0", _shape.Name), SyntheticPlan.Parse($"{shape}:q8_0", _shape.Name)];
        var split = ReadSplit(flags, plans[0].Config);
        var device = LocalDevice.Open(flags);
        foreach (var plan in plans)
        {
            if (BenchRoom.Error(plan.Config, plan.Bytes, TestsOf(flags, device), device) is { } rule)
                throw plan.Error(rule);
        }
        using var folder = new LabFolder(_out.Name, flags.GetValue(_out), "gpu");

        using var checksCsv = new LabCsv(folder.File("checks.csv"), CheckRow.Heads);
        using var kernelsCsv = new LabCsv(folder.File("kernels.csv"), KernelRow.Heads);
        var checks = new List<CheckRow>();
        Check(flags, types, golden, device, LocalDevice.Open(DeviceInventory.Cpu, threads), Checked, cancellation);
        var rows = new List<BenchRow>();
        var kernels = new List<KernelRow>();
        using (var sample = BenchModel.Open(SampleModel.Path))
        {
            var tokens = Math.Min(split.Decode, sample.Model.Config.ContextLength);
            var options = TestsOf(flags, device) with { Tests = [new BenchTest(TestKind.Decode, tokens, 0, 1)] };
            rows.AddRange(await BenchAsync(sample, options, device, cancellation));
            TimeKernels(sample);
        }
        // The last one is split, too.
        foreach (var plan in plans.Reverse())
        {
            using var model = BenchModel.Make(_terminal, plan, 1, save: null, asFile: plan == plans[0], cancellation);
            var measured = await BenchAsync(model, TestsOf(flags, device), device, cancellation);
            rows.AddRange(measured);
            folder.WriteJson("bench.json", rows);
            if (measured[0].Memory is { DeviceTaken: { } taken } memory)
            {
                var allowed = Math.Max(MemoryTolerance, MemoryGranularity / memory.Forecast);
                Checked(new CheckRow("memory", model.Type, Math.Abs(((double)taken / memory.Forecast) - 1), allowed));
            }
            TimeKernels(model);
            if (plan == plans[0])
            {
                var devices = new SplitTargetFlags(null, null, null, threads, threads, device);
                await SplitAsync(flags, model, $"{shape}:q4_0", split, devices, folder, cancellation);
            }
        }

        if (flags.GetValue(CommonOptions.Json))
        {
            Json.Write(_terminal.Out, new { checks, bench = rows, kernels });
        }
        else
        {
            var table = Tables.Create("check", "model", ">found", ">allowed", "passed");
            foreach (var check in checks)
                table.Line(check.Check, check.Model, $"{check.Found:G3}", $"{check.Allowed:G3}", check.Passed ? "yes" : "NO");
            _terminal.OutConsole.Write(table);
            _terminal.OutConsole.Write(BenchTable.Of(rows));
            _terminal.OutConsole.Write(KernelRow.TableOf(kernels));
        }
        _terminal.Error.WriteLine($"setup.json, checks.csv, bench.json, kernels.csv, data.csv, split.png and split.svg are in {folder}");
        if (checks.All(check => check.Passed))
            return ExitCode.Done;
        _terminal.Error.WriteLine($"error: {checks.Count(check => !check.Passed)} of {checks.Count} checks did not pass on {device.Name}");
        return ExitCode.Failed;

        void Checked(CheckRow row)
        {
            checksCsv.Add(row.Cells);
            checks.Add(row);
        }

        void TimeKernels(BenchModel model)
        {
            var tokens = Math.Min(Math.Min(split.Decode, MostTimedTokens), model.Model.Config.ContextLength - WarmUpTokens);
            _terminal.Error.WriteLine($"{model.Type}: kernels of {tokens} tokens");
            using var loaded = new DeviceModel(model.Model, device, CommonOptions.Defaults.KvType, WarmUpTokens + tokens);
            foreach (var row in KernelRow.Of(model.Model.Config.Name, model.Type, loaded.TimeKernels(WarmUpTokens, tokens, cancellation), tokens))
            {
                kernelsCsv.Add(row.Cells);
                kernels.Add(row);
            }
        }
    }

    private List<QuantType> ReadTypes(ParseResult flags)
    {
        if (flags.GetValue(_types) is not { } text)
            return [.. QuantTypes.All];
        var names = text.Split(',', StringSplitOptions.TrimEntries);
        var types = names.Select(name => QuantTypes.All.FirstOrDefault(type => type.Name.Equals(name, StringComparison.OrdinalIgnoreCase))).ToList();
        return types.Contains(null) ? throw new InvalidInputException(_types.Name, text, $"must be of {QuantTypes.Names}") : [.. types.OfType<QuantType>()];
    }

    private SplitOptions ReadSplit(ParseResult flags, ModelConfig model)
    {
        var decode = flags.GetValue(_decode) ?? DefaultDecode;
        var prefill = Math.Min(SplitPrefill, flags.GetValue(_prefill) ?? DefaultPrefill);
        if (Math.Max(prefill + decode, flags.GetValue(_prefill) ?? DefaultPrefill) is var tokens && tokens > model.ContextLength)
            throw new InvalidInputException(
                _prefill.Name, $"{tokens}", $"must fit the context of {model.ContextLength} tokens of {model.Name}");
        if (flags.GetValue(_step) is { } step && step > model.NumLayers)
            throw new InvalidInputException(_step.Name, $"{step}", $"must be at most {model.NumLayers}, the layers of {model.Name}");
        return new SplitOptions(
            prefill, decode, Math.Min(prefill, CommonOptions.Defaults.MaxBatchTokens), Math.Min(flags.GetValue(_step) ?? DefaultStep, model.NumLayers),
            flags.GetValue(_repeat) ?? DefaultRepeats, 1, CommonOptions.Defaults.KvType)
        { Wire = CommonOptions.Defaults.Wire };
    }

    private BenchOptions TestsOf(ParseResult flags, Device device)
    {
        var decode = flags.GetValue(_decode) ?? DefaultDecode;
        return new BenchOptions(
            [
                new(TestKind.Prefill, flags.GetValue(_prefill) ?? DefaultPrefill, 0, 1), new(TestKind.Decode, decode, 0, 1),
                new(TestKind.Decode, decode, 0, ManySequences),
            ],
            [0], flags.GetValue(_repeat) ?? DefaultRepeats, CommonOptions.Defaults.MaxBatchTokens, 0, CommonOptions.Defaults.KvType,
            CommonOptions.Defaults.Wire, null)
        { Device = device.Name };
    }

    private void Check(
        ParseResult flags, List<QuantType> types, IReadOnlyList<string> golden, Device device, Device processor, Action<CheckRow> checkedRow,
        CancellationToken cancellation)
    {
        var checks = new DeviceChecks(device, processor, checkedRow, cancellation);
        foreach (var type in types)
            checks.CheckFormat(type);
        checks.CheckGolden(_golden.Name, golden);
        checks.CheckGreedy(flags.GetValue(_greedy) ?? DefaultGreedy);
    }

    private Task<IReadOnlyList<BenchRow>> BenchAsync(BenchModel model, BenchOptions options, Device device, CancellationToken cancellation) =>
        new BenchRun(model, options, device, text => _terminal.Error.WriteLine($"{model.Type}: {text}"), cancellation).RunAsync();

    private async Task SplitAsync(
        ParseResult flags, BenchModel model, string text, SplitOptions options, SplitTargetFlags devices, LabFolder folder,
        CancellationToken cancellation)
    {
        await using var target = await SplitTarget.OpenAsync(devices, model.Model, options, isMade: true, cancellation);
        var plans = SplitPlan.All(
            model.Model, options, target.Config, target.A, target.B, target.Survey,
            (layers, reason) => _terminal.Error.WriteLine($"warning: {layers} layers on a are left out: {reason}"));
        var record = LabModel.Of(model, text);
        folder.WriteJson(
            "setup.json", new LabSetup<SplitOptions>("gpu", [.. flags.Tokens.Select(token => token.Value)], record, [target.A, target.B], options));
        var rows = new List<SplitRow>();
        using var csv = new LabCsv(folder.File("data.csv"), SplitRow.Heads);
        await new SplitRun(model.Model, options, plans).RunAsync(Measured, told => _terminal.Error.WriteLine($"split: {told}"), cancellation);
        new SplitPlot(record, new SplitDevice(target.A), new SplitDevice(target.B)).Save(folder, rows);

        void Measured(SplitRow row)
        {
            csv.Add(row.Cells);
            rows.Add(row);
        }
    }
}
