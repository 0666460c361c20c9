using Distributed.Cli.Bench;
using Distributed.Cluster.Config;
using Distributed.Coordinator;
using Distributed.Coordinator.Planning;
using Distributed.Core;

namespace Distributed.Cli.Lab;

/// <summary>One split: the first layers on device a, the rest on device b; one stage alone where the other has none.</summary>
/// <param name="LayersA">Layers on a.</param>
/// <param name="Config">The cluster that asks for it.</param>
/// <param name="Placement">The stages.</param>
internal sealed record SplitPlan(int LayersA, ClusterConfig Config, Placement Placement)
{
    /// <summary>The stage on a device; null where it has no layer.</summary>
    public int? StageOf(bool isA) => isA
        ? LayersA > 0 ? 0 : null
        : Placement.Stages.Count == 2 ? 1 : LayersA == 0 ? 0 : null;

    /// <summary>What the split is predicted to take in a test, ms per token; null where a worker did not tell its profile.</summary>
    public double? PredictedMsPerToken(BenchTest test) => test.Kind == TestKind.Prefill
        ? Placement.Costs?.Prefill(test.Depth, test.Depth + test.Tokens).TokenMs / test.Tokens
        : Placement.Costs?.Decode(test.Depth + ((test.Tokens + 1) / 2.0)).PathMs;

    /// <summary>All splits that fit.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">Which splits.</param>
    /// <param name="config">The cluster, without a split.</param>
    /// <param name="a">The first device.</param>
    /// <param name="b">The second one.</param>
    /// <param name="survey">What the workers say of themselves, and the links between them.</param>
    /// <param name="leftOut">Told of each split that does not fit, with the reason.</param>
    /// <exception cref="InvalidInputException">None fits.</exception>
    public static IReadOnlyList<SplitPlan> All(
        ModelFile model, SplitOptions options, ClusterConfig config, LabDevice a, LabDevice b,
        ClusterSurvey survey, Action<int, string> leftOut)
    {
        List<SplitPlan> plans = [];
        InvalidInputException? refusal = null;
        var count = model.Config.NumLayers;
        foreach (var layers in options.LayersOnA(count))
        {
            var split = new List<SplitConfig>();
            if (layers > 0)
                split.Add(new SplitConfig { Worker = a.Worker, Device = a.Device, Layers = new LayerRange(0, layers - 1) });
            if (layers < count)
                split.Add(new SplitConfig { Worker = b.Worker, Device = b.Device, Layers = new LayerRange(layers, count - 1) });
            try
            {
                var asked = config with { Split = split };
                plans.Add(new SplitPlan(layers, asked, ClusterPlan.Make(model, asked, survey)));
            }
            catch (InvalidInputException error)
            {
                refusal = error;
                leftOut(layers, error.Message);
            }
        }

        return plans.Count > 0 ? plans : throw refusal!;
    }
}
