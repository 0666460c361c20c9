using System.CommandLine;
using System.Diagnostics;
using Distributed.Cli.Lab;
using Distributed.Cli.Output;
using Distributed.Core;
using Distributed.Worker;

namespace Distributed.Cli.Commands;

/// <summary><c>lab soak</c>: answers from a cluster of real processes to which something happens every few seconds.</summary>
internal sealed class LabSoakCommand : Command
{
    private const float DefaultMinutes = 10;
    private const float DefaultInterval = 3;
    private const int DefaultStreams = 4;
    private const int DefaultTokens = 200;
    private const int DefaultSeed = 1;

    private readonly Option<float?> _minutes = Flag.Number(
        "--minutes", $"How long (default {DefaultMinutes})", minutes => minutes is > 0 and <= 10_000 ? null : "must be more than 0 and at most 10000");

    private readonly Option<float?> _interval = Flag.Number(
        "--interval", $"Seconds from one failure to the next, on average (default {DefaultInterval})",
        seconds => seconds is >= 0.1f and <= 3600 ? null : "must be from 0.1 to 3600");

    private readonly Option<int?> _workers = Flag.Whole(
        "--workers", $"Worker processes (default {CommonOptions.DefaultLocalWorkers})", 2, CommonOptions.MaxLocalWorkers);

    private readonly Option<int?> _threads = Flag.Whole("--threads", "Threads of each (default 1)", 1, CommonOptions.MaxThreads, "-t");
    private readonly Option<int?> _streams = Flag.Whole("--streams", $"Answers at once (default {DefaultStreams})", 1, 256);

    private readonly Option<int?> _tokens = Flag.Whole(
        "--max-tokens", $"The longest answer, in tokens (default {DefaultTokens})", 1, 1 << 20, "-n");

    private readonly Option<int?> _seed = Flag.Whole("--seed", $"What happens when is drawn from it (default {DefaultSeed})", 0, int.MaxValue);
    private readonly Option<string?> _out = Flag.Text(
        "--out", "DIR", "A new folder for data.csv, setup.json and what the processes print (default none)", "-o");

    private readonly Terminal _terminal;

    public LabSoakCommand(Terminal terminal)
        : base("soak", "Kill, stop, drain and restart processes of a cluster of its own every few seconds, and check every answer")
    {
        _terminal = terminal;
        foreach (var option in (Option[])
            [
                CommonOptions.Model, _minutes, _interval, _workers, _threads, _streams, _tokens, _seed, _out, CommonOptions.Json, CommonOptions.LogLevel,
            ])
            Options.Add(option);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        if (OperatingSystem.IsWindows())
            throw new IOException("a soak needs signals that Windows has not got");
        var workers = flags.GetValue(_workers) ?? CommonOptions.DefaultLocalWorkers;
        var options = new SoakOptions(
            Path.GetFullPath(flags.GetValue(CommonOptions.Model) ?? SampleModel.Path), flags.GetValue(_minutes) ?? DefaultMinutes,
            flags.GetValue(_interval) ?? DefaultInterval, workers, flags.GetValue(_threads) ?? 1, HostMachine.UsableMemory() / workers,
            flags.GetValue(_streams) ?? DefaultStreams, flags.GetValue(_tokens) ?? DefaultTokens, flags.GetValue(_seed) ?? DefaultSeed);
        using (ModelFile.Open(options.Model))
        {
            // A wrong file is told before anything is started.
        }

        using var folder = flags.GetValue(_out) is { } path ? new LabFolder(_out.Name, path, "soak") : null;
        folder?.WriteJson("setup.json", new SoakSetup([.. flags.Tokens.Select(token => token.Value)], options));
        var work = folder?.File("cluster") ?? Directory.CreateTempSubdirectory("distributed-soak-").FullName;
        try
        {
            Directory.CreateDirectory(work);
            var report = await SoakAsync(options, folder, Path.GetFullPath(work), cancellation);
            if (flags.GetValue(CommonOptions.Json))
                Json.Write(_terminal.Out, report);
            else
                report.Print(_terminal.OutConsole);
            if (folder is not null)
                _terminal.Error.WriteLine($"data.csv, setup.json and, in cluster/, what the processes printed are in {folder}");
            return report.IsClean ? ExitCode.Done : ExitCode.Failed;
        }
        finally
        {
            if (folder is null)
                Directory.Delete(work, recursive: true);
        }
    }

    private async Task<SoakReport> SoakAsync(SoakOptions options, LabFolder? folder, string work, CancellationToken cancellation)
    {
        using var csv = folder is null ? null : new LabCsv(folder.File("data.csv"), SoakFault.Heads);
        await using var cluster = await SoakCluster.StartAsync(options, work, cancellation);
        var streams = new SoakStreams(cluster, SoakRequest.All(options.MaxTokens));
        await streams.LearnAsync(cancellation);
        SoakNode[] nodes = [cluster.Coordinator, .. cluster.Workers];
        long?[] before = [.. nodes.Select(node => node.Memory)];
        var faults = new List<SoakFault>();
        var clock = Stopwatch.StartNew();
        using var run = new SoakRun(options, cluster, streams, Tell);
        await run.RunAsync(cancellation);
        var report = SoakReport.Of(clock.Elapsed, streams.Answers, faults, SoakMemory.Of(nodes, before));
        foreach (var lost in streams.Answers.Where(answer => answer.Outcome == SoakOutcome.Lost))
            _terminal.Error.WriteLine($"lost: {Printable.Line(lost.Reason ?? "")}");
        return report;

        void Tell(SoakFault fault)
        {
            lock (faults)
            {
                faults.Add(fault);
                csv?.Add(fault.Cells());
                _terminal.Error.WriteLine($"{fault}");
            }
        }
    }
}
