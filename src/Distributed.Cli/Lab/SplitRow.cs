using Distributed.Cli.Bench;
using Distributed.Cluster.Protocol;

namespace Distributed.Cli.Lab;

/// <summary>
/// One measurement of one phase on one split; times in ms per token of the phase, null where there is no such stage or hop.
/// </summary>
internal sealed record SplitRow
{
    /// <summary>The heads of a table of rows.</summary>
    public static readonly string[] Heads =
    [
        "layersA", "layersB", "phase", "tokens", "repetition", "order", "msPerToken", "computeMsA", "computeMsB", "queueMsA", "queueMsB",
        "hopSerializeMs", "hopWireMs", "hopDeserializeMs", "coordinatorMs", "predictedMsPerToken",
    ];

    /// <summary>Layers on the first device.</summary>
    public required int LayersA { get; init; }

    /// <summary>Layers on the second one.</summary>
    public required int LayersB { get; init; }

    /// <summary><c>prefill</c> or <c>decode</c>.</summary>
    public required string Phase { get; init; }

    /// <summary>Tokens of the phase.</summary>
    public required int Tokens { get; init; }

    /// <summary>Which repetition, from 0.</summary>
    public required int Repetition { get; init; }

    /// <summary>When it was measured: the how manieth, from 0.</summary>
    public required int Order { get; init; }

    /// <summary>From the first step's sending to the last one's result.</summary>
    public required double MsPerToken { get; init; }

    /// <summary>What the first device computed.</summary>
    public double? ComputeMsA { get; init; }

    /// <summary>What the second one computed.</summary>
    public double? ComputeMsB { get; init; }

    /// <summary>What steps waited for the first device.</summary>
    public double? QueueMsA { get; init; }

    /// <summary>What steps waited for the second one.</summary>
    public double? QueueMsB { get; init; }

    /// <summary>The hop at its sender.</summary>
    public double? HopSerializeMs { get; init; }

    /// <summary>The hop on its way.</summary>
    public double? HopWireMs { get; init; }

    /// <summary>The hop at its receiver.</summary>
    public double? HopDeserializeMs { get; init; }

    /// <summary>All that passes between the coordinator and the stages, and within the coordinator.</summary>
    public required double CoordinatorMs { get; init; }

    /// <summary>What was predicted; null where nothing was.</summary>
    public double? PredictedMsPerToken { get; init; }

    /// <summary>The hop; null where there is none.</summary>
    public double? HopMs => HopSerializeMs + HopWireMs + HopDeserializeMs;

    /// <summary>The values under <see cref="Heads"/>.</summary>
    public object?[] Cells =>
    [
        LayersA, LayersB, Phase, Tokens, Repetition, Order, MsPerToken, ComputeMsA, ComputeMsB, QueueMsA, QueueMsB,
        HopSerializeMs, HopWireMs, HopDeserializeMs, CoordinatorMs, PredictedMsPerToken,
    ];

    /// <summary>The row of a measurement.</summary>
    /// <param name="plan">The split.</param>
    /// <param name="test">The phase.</param>
    /// <param name="repetition">Which repetition.</param>
    /// <param name="order">Which measurement.</param>
    /// <param name="time">How long the phase took.</param>
    /// <param name="steps">What came of its steps.</param>
    /// <param name="predicted">ms per token; null for no prediction.</param>
    public static SplitRow Of(
        SplitPlan plan, BenchTest test, int repetition, int order, TimeSpan time, IReadOnlyList<StepResult> steps, double? predicted)
    {
        var layers = plan.Placement.Stages.Sum(stage => stage.Spec.NumLayers);
        var (a, b) = (plan.StageOf(isA: true), plan.StageOf(isA: false));
        var last = plan.Placement.Stages.Count - 1;
        var hop = last == 1 ? 1 : (int?)null;
        return new SplitRow
        {
            LayersA = plan.LayersA,
            LayersB = layers - plan.LayersA,
            Phase = test.Kind.ToString().ToLowerInvariant(),
            Tokens = test.Tokens,
            Repetition = repetition,
            Order = order,
            MsPerToken = time.TotalMilliseconds / test.Tokens,
            ComputeMsA = Sum(a, timing => timing.ComputeNs),
            ComputeMsB = Sum(b, timing => timing.ComputeNs),
            QueueMsA = Sum(a, timing => timing.QueueNs),
            QueueMsB = Sum(b, timing => timing.QueueNs),
            HopSerializeMs = Sum(hop - 1, timing => timing.SerializeNs),
            HopWireMs = Sum(hop, timing => timing.WireNs),
            HopDeserializeMs = Sum(hop, timing => timing.DeserializeNs),
            CoordinatorMs = (Sum(0, timing => timing.WireNs + timing.DeserializeNs) + Sum(last, timing => timing.SerializeNs)
                + Sum(last + 1, timing => timing.SerializeNs + timing.WireNs + timing.DeserializeNs))!.Value,
            PredictedMsPerToken = predicted,
        };

        double? Sum(int? stage, Func<StageTiming, long> part) =>
            stage is { } index ? steps.Sum(step => part(step.Timings[index])) / 1e6 / test.Tokens : null;
    }
}
