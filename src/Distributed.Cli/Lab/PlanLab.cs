using System.Diagnostics;
using Distributed.Cli.Bench;
using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Coordinator;
using Distributed.Worker;

namespace Distributed.Cli.Lab;

/// <summary>What one split of one model came to beside its forecast. Times are ms.</summary>
/// <param name="Model">Shape and formats.</param>
/// <param name="Workers">Worker processes on this machine, all used.</param>
/// <param name="Threads">Threads of each.</param>
/// <param name="Link">What the links were made to be; empty for what they are.</param>
/// <param name="Decode">One token at the depth of the prompt: predicted.</param>
/// <param name="DecodeMeasured">Measured: the median step.</param>
/// <param name="Prefill">The prompt: predicted.</param>
/// <param name="PrefillMeasured">Measured: the median run.</param>
/// <param name="Memory">Bytes of all stages: forecast.</param>
/// <param name="MemoryTaken">The workers' own account.</param>
internal sealed record PlanLabRow(
    string Model, int Workers, int Threads, string Link, double Decode, double DecodeMeasured, double Prefill, double PrefillMeasured,
    long Memory, long MemoryTaken)
{
    /// <summary>The heads of <see cref="Cells"/>.</summary>
    public static string[] Heads { get; } =
    [
        "model", "workers", "threads", "link", "predicted_decode_ms", "decode_ms", "predicted_prefill_ms", "prefill_ms", "forecast_bytes",
        "taken_bytes",
    ];

    /// <summary>The row of <c>data.csv</c>.</summary>
    public object?[] Cells() =>
        [Model, Workers, Threads, Link, Decode, DecodeMeasured, Prefill, PrefillMeasured, Memory, MemoryTaken];

    /// <summary>By how much decode is off, as a part of what was measured.</summary>
    public double DecodeError => (Decode - DecodeMeasured) / DecodeMeasured;

    /// <summary>By how much prefill is off.</summary>
    public double PrefillError => (Prefill - PrefillMeasured) / PrefillMeasured;

    /// <summary>By how much memory is off.</summary>
    public double MemoryError => (double)(Memory - MemoryTaken) / MemoryTaken;
}

/// <summary>Runs models on worker processes of its own and holds what their plan predicted against what they took.</summary>
/// <param name="prompt">Tokens of the prompt.</param>
/// <param name="answer">Tokens of the answer.</param>
/// <param name="repeats">Runs of each; the first one does not count.</param>
/// <param name="cancellation">Gives up.</param>
internal sealed class PlanLab(int prompt, int answer, int repeats, CancellationToken cancellation)
{
    /// <summary>One split.</summary>
    public async Task<PlanLabRow> RunAsync(BenchModel model, int workers, int threads, LinkShape? link)
    {
        await using var local = await LocalWorkers.StartAsync(
            workers, threads, HostMachine.UsableMemory() / workers, program: null, cancellation);
        var config = new ClusterConfig
        {
            Model = model.Model.Path,
            Context = prompt + answer,
            Sequences = 1,
            SplitOverAll = true,
            Link = link,
            Workers = [.. local.Workers.Select(worker => new WorkerConfig { Name = worker.Name, Address = worker.Address })],
        };
        var placement = await ClusterPlan.MakeAsync(model.Model, config, cancellation);
        var costs = placement.Costs ?? throw new IOException("a worker did not tell its profile");
        await using var pipeline = await Pipeline.StartAsync(model.Model, config, placement, epoch: 1, progress: null, cancellation);

        var lab = new LabSteps(pipeline, model.Model.Config.VocabSize, cancellation);
        var (prefills, steps) = (new List<double>(), new List<double>());
        for (var run = 0; run <= repeats; run++)
        {
            var clock = Stopwatch.StartNew();
            await lab.PrefillAsync(prompt);
            var prefill = clock.Elapsed.TotalMilliseconds;
            var decode = await lab.DecodeAsync(prompt, answer);
            await lab.ReleaseAsync();
            if (run == 0)
                continue;
            prefills.Add(prefill);
            steps.AddRange(decode.Select(step => step.Time.TotalMilliseconds));
        }

        return new PlanLabRow(
            $"{model.Model.Config.Name}", workers, threads, $"{link}",
            costs.Decode(prompt + ((answer + 1) / 2.0)).PathMs, Statistics.Median(steps),
            costs.Prefill(0, prompt).TokenMs, Statistics.Median(prefills),
            placement.Stages.Sum(stage => stage.Memory.Total), pipeline.Memory.Sum(stage => stage.Total));
    }
}
