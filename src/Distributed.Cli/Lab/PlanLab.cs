using System.Diagnostics;
using Distributed.Cli.Bench;
using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator;
using Distributed.Coordinator.Planning;
using Distributed.Coordinator.Scheduling;
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
/// <param name="Terms">What a decoded token's time is made of, with medians of the steps.</param>
internal sealed record PlanLabRow(
    string Model, int Workers, int Threads, string Link, double Decode, double DecodeMeasured, double Prefill, double PrefillMeasured,
    long Memory, long MemoryTaken, IReadOnlyList<PredictedAndMeasured> Terms)
{
    /// <summary>The heads of <see cref="Cells"/>.</summary>
    public static string[] Heads { get; } =
    [
        "model", "workers", "threads", "link", "predicted_decode_ms", "decode_ms", "predicted_prefill_ms", "prefill_ms", "forecast_bytes",
        "taken_bytes", "predicted_hops_ms", "hops_ms", "wrong",
    ];

    /// <summary>The row of <c>data.csv</c>.</summary>
    public object?[] Cells() =>
        [
            Model, Workers, Threads, Link, Decode, DecodeMeasured, Prefill, PrefillMeasured, Memory, MemoryTaken,
            Hops.Sum(hop => hop.PredictedMs), Hops.Sum(hop => hop.MeasuredMs), Wrong,
        ];

    /// <summary>The term of decode that is wrong where that is off by more than a quarter, or <c>prefill</c>; empty where neither is.</summary>
    public string Wrong
    {
        get
        {
            var forecast = new GenerationForecast(
                new PredictedAndMeasured("decode", Decode, DecodeMeasured), Terms,
                new PredictedAndMeasured("prefill", Prefill, PrefillMeasured));
            return string.Join(", ", new[] { forecast.Wrong(), forecast.WrongPrefill() }.OfType<PredictedAndMeasured>().Select(wrong => wrong.Term));
        }
    }

    private IEnumerable<PredictedAndMeasured> Hops => Terms.Where(term => term.Term.StartsWith("hop", StringComparison.Ordinal));

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
/// <param name="repeats">Runs of each, behind those that do not count: the first one, and what the first moments of new processes are.</param>
/// <param name="cancellation">Gives up.</param>
internal sealed class PlanLab(int prompt, int answer, int repeats, CancellationToken cancellation)
{
    // Compiling what they use often keeps new processes busy for about so long.
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(2);

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
        var (prefills, steps) = (new List<double>(), new List<(StepResult Result, TimeSpan Time)>());
        var began = Stopwatch.GetTimestamp();
        while (prefills.Count < repeats)
        {
            var counts = Stopwatch.GetElapsedTime(began) > WarmUp;
            var clock = Stopwatch.StartNew();
            await lab.PrefillAsync(prompt);
            var prefill = clock.Elapsed.TotalMilliseconds;
            var decode = await lab.DecodeAsync(prompt, answer);
            await lab.ReleaseAsync();
            if (!counts)
                continue;
            prefills.Add(prefill);
            steps.AddRange(decode);
        }

        var predicted = costs.Decode(prompt + ((answer + 1) / 2.0));
        return new PlanLabRow(
            $"{model.Model.Config.Name}", workers, threads, $"{link}",
            predicted.PathMs, Statistics.Median(steps.Select(step => step.Time.TotalMilliseconds)),
            costs.Prefill(0, prompt).TokenMs, Statistics.Median(prefills),
            placement.Stages.Sum(stage => stage.Memory.Total), pipeline.Memory.Sum(stage => stage.Total),
            Terms(predicted, [.. steps.Select(step => step.Result.Timings)]));
    }

    private static List<PredictedAndMeasured> Terms(PredictedStep predicted, IReadOnlyList<IReadOnlyList<StageTiming>> steps)
    {
        var terms = new List<PredictedAndMeasured>();
        var stages = predicted.Stages.Count;
        for (var at = 0; at <= stages; at++)
        {
            var stage = at;
            terms.Add(new PredictedAndMeasured($"hop {stage}", predicted.Hops[stage], Median(step =>
                step[stage].WireNs + step[stage].DeserializeNs + step[stage].QueueNs + step[stage == 0 ? stages : stage - 1].SerializeNs)));
            if (stage < stages)
                terms.Add(new PredictedAndMeasured($"stage {stage}", predicted.Stages[stage], Median(step => step[stage].ComputeNs)));
        }

        return terms;

        double Median(Func<IReadOnlyList<StageTiming>, long> nanoseconds) => Statistics.Median(steps.Select(step => nanoseconds(step) / 1e6));
    }
}
