using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Distributed.Grains;

namespace Distributed.Coordinator;

/// <summary>The placement of a model on the workers that answer.</summary>
public static class ClusterPlan
{
    /// <summary>Asks every worker what it has, and plans with that. Loads nothing.</summary>
    /// <param name="model">The model.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="InvalidInputException">The config does not suit the model or the workers, or the model does not fit.</exception>
    /// <exception cref="StageFailureException">No worker answers, or one speaks another version of the protocol.</exception>
    public static async Task<Placement> MakeAsync(ModelFile model, ClusterConfig config, CancellationToken cancellation)
    {
        return Make(model, config, await ClusterSurvey.MakeAsync(model, config, cancellation));
    }

    /// <summary>Plans with what a survey found.</summary>
    /// <exception cref="InvalidInputException">The config does not suit the model or the workers, or the model does not fit.</exception>
    public static Placement Make(ModelFile model, ClusterConfig config, ClusterSurvey survey) =>
        Planner(model, survey.Links, survey.Unprofiled).Plan(config, survey.Workers);

    /// <summary>Plans with what is known of the workers.</summary>
    /// <param name="model">The model.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="workers">What the workers say of themselves, by the name that the config gives them.</param>
    /// <param name="links">Their links; null where none was measured.</param>
    /// <exception cref="InvalidInputException">The config does not suit the model or the workers, or the model does not fit.</exception>
    public static Placement Make(
        ModelFile model, ClusterConfig config, IReadOnlyDictionary<string, WorkerDescription> workers, LinkTable? links = null) =>
        Planner(model, links, null).Plan(config, workers);

    /// <summary>A placement that is on record, with what is known of the workers now; null where it cannot be any more.</summary>
    internal static Placement? Recall(ModelFile model, ClusterConfig config, ClusterSurvey survey, PipelineRecord record) =>
        Planner(model, survey.Links, survey.Unprofiled).Recall(
            config, survey.Workers, [.. record.Stages.Select(stage => (stage.Worker, stage.Device, stage.FirstLayer, stage.EndLayer))]);

    private static Planner Planner(ModelFile model, LinkTable? links, IReadOnlyDictionary<string, string>? unprofiled) =>
        new(model.Config, spec => StageMemoryForecast.Forecast(model, spec), ModelUnits.Of(model), links, unprofiled);
}
