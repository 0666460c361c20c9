using Distributed.Cluster.Config;
using Distributed.Coordinator.Api;
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
/// <param name="Choice">How it was chosen, and what the next-best plan would be.</param>
/// <param name="Forecast">What it is predicted to take; null where a device has no profile.</param>
/// <param name="Links">The links that were measured for it.</param>
internal sealed record PlanReport(
    string Model, int Context, int Sequences, string KvType, IReadOnlyList<PlannedStage> Stages, IReadOnlyList<UnusedDevice> Unused,
    PlanChoice Choice, PlanForecast? Forecast, IReadOnlyList<LinkStatus> Links)
{
    /// <summary>The report of a placement.</summary>
    public static PlanReport Of(Placement placement, ClusterConfig config) => new(
        config.Model,
        placement.Context,
        config.Sequences,
        config.KvType.ToName(),
        [.. placement.Stages.Select(PlannedStage.Of)],
        placement.Unused,
        placement.Choice,
        PlanForecast.Of(placement, config),
        LinkStatus.Of(placement.Links));
}

/// <summary>What a plan is predicted to take. Times are ms; the hops lead into stage 0, 1, … and back to the coordinator.</summary>
/// <param name="Sequences">Sequences at once.</param>
/// <param name="Keys">Keys that each token sees: half the context.</param>
/// <param name="Decode">The next token of each.</param>
/// <param name="PrefillTokens">Tokens of a prompt: half the context.</param>
/// <param name="Prefill">That prompt.</param>
internal sealed record PlanForecast(int Sequences, double Keys, PredictedStep Decode, int PrefillTokens, PredictedStep Prefill)
{
    /// <summary>The forecast of a placement; null where a device of it has no profile.</summary>
    public static PlanForecast? Of(Placement placement, ClusterConfig config)
    {
        if (placement.Costs is not { } costs)
            return null;
        var tokens = Math.Max(1, placement.Context / 2);
        return new PlanForecast(
            config.PlanFor, tokens, costs.Decode(tokens, config.PlanFor), tokens, costs.Prefill(0, tokens));
    }
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
