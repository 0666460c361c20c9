using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Grains;

namespace Distributed.Coordinator.Recovery;

/// <summary>What a coordinator that starts has to go on with.</summary>
/// <param name="Pipeline">The stages that are there already; null where they have to be loaded.</param>
/// <param name="Held">What they hold.</param>
/// <param name="Survey">What is known of the workers, without what stages take that have been unloaded.</param>
/// <param name="Config">The cluster without the workers that are drained.</param>
/// <param name="Drained">These workers.</param>
/// <param name="Reason">Why stages that were there before are not gone on with; null where they are, or there were none.</param>
internal sealed record PipelineStart(
    Pipeline? Pipeline, IReadOnlyList<StageKv> Held, ClusterSurvey Survey, ClusterConfig Config, IReadOnlyList<string> Drained, string? Reason)
{
    /// <summary>What a cluster asks of a placement, as text to be compared.</summary>
    public static string RulesOf(ClusterConfig config) =>
        $"split {(config.Split is null ? config.SplitOverAll ? "all" : "auto" : string.Join(", ", config.Split))}; "
        + $"pin {string.Join(", ", config.Pin)}; exclude {string.Join(", ", config.Exclude)}; plan-for {config.PlanFor}";

    /// <summary>A cluster without workers that are not to be used, or are not there: what was meant for them goes where there is room.</summary>
    public static ClusterConfig Without(ClusterConfig config, IReadOnlyCollection<string> workers) => config with
    {
        Exclude = [.. config.Exclude.Union(workers.Where(name => config.Workers.Any(worker => worker.Name == name)))],
        Split = config.Split?.Any(stage => workers.Contains(stage.Worker)) == true ? null : config.Split,
        Pin = [.. config.Pin.Where(pin => !workers.Contains(pin.Worker))],
    };

    /// <summary>Takes the stages over that the coordinator before this one has left, or unloads them.</summary>
    /// <param name="model">The model.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="record">The last placement; null where there was none.</param>
    /// <param name="survey">What was found of the workers.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<PipelineStart> FindAsync(
        ModelFile model, ClusterConfig config, PipelineRecord? record, ClusterSurvey survey, CancellationToken cancellation)
    {
        if (record is null)
            return new PipelineStart(null, [], survey, config, [], null);
        IReadOnlyList<string> drained = [.. record.Drained.Where(name => config.Workers.Any(worker => worker.Name == name))];
        var left = Without(config, drained);
        var stages = new LeftStages(record, config);
        var areThere = await stages.FindAsync(cancellation);
        survey = stages.Without(survey);
        var reason = !areThere ? "whose stages are not on the workers any more"
            : record.Rules != RulesOf(config) ? "which was placed by other rules than the cluster has now" : null;
        if (reason is null && ClusterPlan.Recall(model, left, survey, record) is { } placement)
        {
            try
            {
                var (pipeline, held) = await Pipeline.TakeOverAsync(model, config, placement, record.Name, record.Epoch, cancellation);
                return new PipelineStart(pipeline, held, survey, left, drained, null);
            }
            catch (StageFailureException error)
            {
                reason = $"whose stages cannot be gone on with ({error.Message})";
            }
        }

        await stages.UnloadAsync(cancellation);
        return new PipelineStart(null, [], survey, left, drained, reason ?? "whose workers are not all there");
    }
}
