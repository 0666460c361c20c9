using Distributed.Cluster.Config;
using Distributed.Coordinator.Planning;
using Distributed.Core;

namespace Distributed.Cli.Output;

/// <summary>What <c>plan --json</c> prints. Sizes are bytes.</summary>
/// <param name="Model">The model file.</param>
/// <param name="Context">The longest sequence, in tokens.</param>
/// <param name="Sequences">How many of them the KV cache has room for.</param>
/// <param name="KvType">The format of the KV cache.</param>
/// <param name="Stages">The stages, in order.</param>
/// <param name="Unused">Devices left out, each with the reason.</param>
internal sealed record PlanReport(
    string Model, int Context, int Sequences, string KvType, IReadOnlyList<PlannedStage> Stages, IReadOnlyList<UnusedDevice> Unused)
{
    /// <summary>The report of a placement.</summary>
    public static PlanReport Of(Placement placement, ClusterConfig config) => new(
        config.Model,
        placement.Context,
        config.Sequences,
        config.KvType.ToName(),
        [.. placement.Stages.Select(PlannedStage.Of)],
        placement.Unused);
}

/// <summary>One stage of a plan.</summary>
/// <param name="Stage">Its place in the pipeline, from 0.</param>
/// <param name="Worker">The worker's name.</param>
/// <param name="Device">The device's name.</param>
/// <param name="FirstLayer">The first layer, from 0.</param>
/// <param name="EndLayer">One past the last layer.</param>
/// <param name="Memory">The forecast, by part.</param>
/// <param name="Limit">What stages may still take of the device.</param>
/// <param name="FreeAfter">What is left of that.</param>
internal sealed record PlannedStage(
    int Stage, string Worker, string Device, int FirstLayer, int EndLayer, StageMemory Memory, long Limit, long FreeAfter)
{
    /// <summary>The report of a stage.</summary>
    public static PlannedStage Of(StagePlacement stage) => new(
        stage.Index,
        stage.Worker,
        stage.Device,
        stage.Spec.FirstLayer,
        stage.Spec.EndLayer,
        stage.Memory,
        stage.Free,
        stage.FreeAfter);
}
