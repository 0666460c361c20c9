using System.Diagnostics;
using Distributed.Cli.Bench;
using Distributed.Coordinator;
using Distributed.Core;

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
        var steps = new LabSteps(pipeline, model.Config.VocabSize, cancellation);
        foreach (var isMeasured in (bool[])[false, true])
        {
            foreach (var test in options.Tests)
            {
                var clock = Stopwatch.StartNew();
                var results = test.Kind == TestKind.Prefill
                    ? await steps.PrefillAsync(options.Prefill)
                    : [.. (await steps.DecodeAsync(options.Prefill, options.Decode)).Select(step => step.Result)];
                var time = clock.Elapsed;
                if (isMeasured)
                    measured(SplitRow.Of(plan, test, repetition, order, time, results, plan.PredictedMsPerToken(test)));
            }
        }
    }
}
