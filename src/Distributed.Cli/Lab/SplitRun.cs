using System.Diagnostics;
using Distributed.Cli.Bench;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator;
using Distributed.Core;
using Distributed.Core.Sampling;

namespace Distributed.Cli.Lab;

/// <summary>
/// Measures splits in turn. Every repetition goes through all of them in another order, so that a machine that becomes slower or
/// faster meanwhile does so for all alike. Each measurement loads its split anew and runs both phases once unmeasured.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="options">What to measure.</param>
/// <param name="plans">The splits.</param>
internal sealed class SplitRun(ModelFile model, SplitOptions options, IReadOnlyList<SplitPlan> plans)
{
    // New worker processes compile their code while they run it; the first splits must not pay for that.
    private const int WarmUps = 2;

    private static readonly Distributed.Cluster.Protocol.Sampling Greedy = new SamplingOptions { Temperature = 0 }.ToMessage([]);

    private readonly Random _random = new(options.Seed);
    private long _epoch;

    /// <summary>Measures all splits.</summary>
    /// <param name="measured">Told of each row as it is there.</param>
    /// <param name="tell">Told what runs.</param>
    /// <param name="cancellation">Gives up between two steps.</param>
    public async Task RunAsync(Action<SplitRow> measured, Action<string> tell, CancellationToken cancellation)
    {
        var order = 0;
        for (var i = 0; i < WarmUps; i++)
        {
            tell("warming up");
            await MeasureAsync(plans[plans.Count / 2], 0, 0, _ => { }, cancellation);
        }

        for (var repetition = 0; repetition < options.Repeats; repetition++)
        {
            var shuffled = plans.ToArray();
            _random.Shuffle(shuffled);
            foreach (var plan in shuffled)
            {
                tell($"repetition {repetition + 1} of {options.Repeats}, {plan.LayersA} layers on a");
                await MeasureAsync(plan, repetition, order++, measured, cancellation);
            }
        }
    }

    private async Task MeasureAsync(SplitPlan plan, int repetition, int order, Action<SplitRow> measured, CancellationToken cancellation)
    {
        await using var pipeline = await Pipeline.StartAsync(model, plan.Config, plan.Placement, ++_epoch, progress: null, cancellation);
        foreach (var isMeasured in (bool[])[false, true])
        {
            foreach (var test in options.Tests)
            {
                var clock = Stopwatch.StartNew();
                var steps = test.Kind == TestKind.Prefill
                    ? await PrefillAsync(pipeline, cancellation)
                    : await DecodeAsync(pipeline, cancellation);
                var time = clock.Elapsed;
                if (isMeasured)
                    measured(SplitRow.Of(plan, test, repetition, order, time, steps, plan.PredictedMsPerToken(test)));
            }
        }
    }

    // As a request's prompt goes: a chunk for every stage to work at, and one more to find when it is done.
    private async Task<List<StepResult>> PrefillAsync(Pipeline pipeline, CancellationToken cancellation)
    {
        var results = new List<StepResult>();
        var flying = new Queue<Task<StepResult>>();
        for (var start = 0; start < options.Prefill; start += options.Batch)
        {
            if (flying.Count > pipeline.Placement.Stages.Count)
                results.Add(await flying.Dequeue());
            var count = Math.Min(options.Batch, options.Prefill - start);
            flying.Enqueue(StepAsync(pipeline, start, count, draw: start + count == options.Prefill, cancellation));
        }

        while (flying.Count > 0)
            results.Add(await flying.Dequeue());
        return results;
    }

    private async Task<List<StepResult>> DecodeAsync(Pipeline pipeline, CancellationToken cancellation)
    {
        var results = new List<StepResult>();
        for (var i = 0; i < options.Decode; i++)
            results.Add(await StepAsync(pipeline, options.Prefill + i, 1, draw: true, cancellation));
        return results;
    }

    private Task<StepResult> StepAsync(Pipeline pipeline, int start, int count, bool draw, CancellationToken cancellation)
    {
        var tokens = new int[count];
        foreach (ref var token in tokens.AsSpan())
            token = _random.Next(model.Config.VocabSize);
        var slice = new Slice { Start = start, Count = count, Sampling = draw ? Greedy : null };
        return pipeline.RunAsync([slice], tokens, cancellation);
    }
}
