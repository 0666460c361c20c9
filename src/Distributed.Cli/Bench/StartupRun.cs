using System.Diagnostics;
using Distributed.Cli.Output;
using Distributed.Coordinator;
using Distributed.Core;

namespace Distributed.Cli.Bench;

/// <summary>Starts this program again and again to see how soon it computes a token, and reads the model's file in between.</summary>
/// <param name="model">The model; a single file.</param>
/// <param name="options">Threads, repeats and KV type.</param>
/// <param name="cancellation">Gives up and ends the process under way.</param>
internal sealed class StartupRun(BenchModel model, BenchOptions options, CancellationToken cancellation)
{
    /// <summary>The hidden flag that makes the program a probe.</summary>
    public const string ProbeFlag = "--startup-probe";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);

    /// <summary>A row for every number of threads.</summary>
    /// <exception cref="InvalidInputException">The model is more than one file.</exception>
    /// <exception cref="IOException">A process of this program does not answer; it said why on standard error.</exception>
    public async Task<IReadOnlyList<StartupRow>> RunAsync()
    {
        if (!File.Exists(model.Model.Path) || model.Model.Source.Shards > 1)
            throw new InvalidInputException("--startup", model.Model.Path, "needs a model in a single file");
        var rows = new List<StartupRow>();
        foreach (var threads in options.Threads)
        {
            var (probes, reads) = (new List<StartupProbe>(), new List<double>());
            // The first one brings the file and the program into the page cache.
            await ProbeAsync(threads);
            await ReadAsync();
            for (var i = 0; i < options.Repeats; i++)
            {
                probes.Add(await ProbeAsync(threads));
                reads.Add(await ReadAsync());
            }
            rows.Add(StartupRow.Of(model, threads, probes, reads));
        }
        return rows;
    }

    private async Task<double> ReadAsync()
    {
        await using var file = new FileStream(model.Model.Path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        var buffer = new byte[1 << 20];
        var clock = Stopwatch.StartNew();
        while (file.Read(buffer) > 0)
            cancellation.ThrowIfCancellationRequested();
        return clock.Elapsed.TotalMilliseconds;
    }

    private async Task<StartupProbe> ProbeAsync(int threads)
    {
        string[] arguments =
        [
            .. LocalWorkers.ThisProgram, "bench", ProbeFlag, "--model", model.Model.Path, "--threads", $"{threads}",
            "--kv-type", options.KvType.ToName(),
        ];
        using var process = Process.Start(new ProcessStartInfo(arguments[0], arguments[1..]) { RedirectStandardOutput = true })
            ?? throw new IOException($"{arguments[0]} cannot be started");
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        try
        {
            var answer = await process.StandardOutput.ReadToEndAsync(patience.Token);
            await process.WaitForExitAsync(patience.Token);
            return process.ExitCode == ExitCode.Done
                ? Json.Read<StartupProbe>(answer)
                : throw new IOException($"a process that was to compute one token ended with {process.ExitCode}");
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }
}
