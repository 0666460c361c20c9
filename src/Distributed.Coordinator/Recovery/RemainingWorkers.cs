using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Grpc.Core;

namespace Distributed.Coordinator.Recovery;

/// <summary>What is left of a cluster after a failure, and what can be placed on it.</summary>
/// <param name="model">The model.</param>
/// <param name="config">The cluster as it was meant to be.</param>
/// <param name="survey">What was known of it when it was planned last: profiles and links are still good.</param>
internal sealed class RemainingWorkers(ModelFile model, ClusterConfig config, ClusterSurvey survey)
{
    // A worker that is named as lost is asked all the same: it may have come back, or another one may be the lost one.
    private static readonly TimeSpan PatienceWithLost = TimeSpan.FromMilliseconds(250);

    // Stages of pipelines that are gone, on workers that could not be told: they take memory until they are.
    private readonly HashSet<(string Worker, string Pipeline)> _stale = [];

    private volatile ClusterSurvey _survey = survey;
    private volatile IReadOnlyList<string> _drained = [];

    /// <summary>Workers that no plan uses.</summary>
    public IReadOnlyList<string> Drained
    {
        get => _drained;
        set => _drained = value;
    }

    /// <summary>Takes down that a pipeline's stages are of no use any more.</summary>
    public void Forget(Pipeline pipeline)
    {
        lock (_stale)
            _stale.UnionWith(pipeline.Placement.Stages.Select(stage => (stage.Worker, pipeline.Name)));
    }

    /// <summary>The worker that a failure names, by its name in the cluster; null where it is none of its workers.</summary>
    public string? WorkerOf(Failure failure) => config.Workers.FirstOrDefault(
        worker => failure.Worker == worker.Name || failure.Worker == $"{worker.Address}"
            || failure.Worker == $"{worker.Name} ({worker.Address})")?.Name;

    /// <summary>Plans with the workers that answer now.</summary>
    /// <param name="failure">What failed: a worker lost with it is used only where the model does not fit without it.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="InvalidInputException">The workers that answer cannot hold the model: with what is missing.</exception>
    public async Task<Placement> PlanAsync(Failure failure, CancellationToken cancellation)
    {
        var suspect = failure.Code is FailureCode.HopLost or FailureCode.NextUnreachable or FailureCode.WorkerStopping ? WorkerOf(failure) : null;
        var answers = await Task.WhenAll(config.Workers.Select(worker =>
            AskAsync(worker, worker.Name == suspect ? PatienceWithLost : config.FailureTimeout, cancellation)));
        var workers = answers.Where(answer => answer.Description is not null)
            .ToDictionary(answer => answer.Name, answer => answer.Description!);
        foreach (var (name, description) in workers)
            foreach (var device in description.Devices)
                device.Profile = _survey.Workers.GetValueOrDefault(name)?.Devices.FirstOrDefault(known => known.Name == device.Name)?.Profile;
        if (suspect is not null && workers.ContainsKey(suspect) && workers.Count > 1)
        {
            try
            {
                return Plan(workers.Where(worker => worker.Key != suspect).ToDictionary());
            }
            catch (InvalidInputException)
            {
                // It answers: better with it than not at all.
            }
        }

        return Plan(workers);
    }

    /// <summary>The links as they were measured last.</summary>
    public LinkTable Links => _survey.Links;

    /// <summary>Plans as at the start: with all that answer now, and links that are measured anew.</summary>
    /// <param name="current">The pipeline at work: the memory that its stages take counts as free.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The plan, and whether its stages fit beside those at work.</returns>
    /// <exception cref="InvalidInputException">The workers cannot hold the model: with what is missing.</exception>
    /// <exception cref="StageFailureException">No worker answers.</exception>
    public async Task<(Placement Placement, bool FitsBeside)> PlanAnewAsync(Pipeline current, CancellationToken cancellation)
    {
        var survey = await ClusterSurvey.MakeAsync(model, PipelineStart.Without(config, Drained), cancellation);
        var taken = current.Placement.Stages.Zip(current.Memory).GroupBy(pair => (pair.First.Worker, pair.First.Device))
            .ToDictionary(group => group.Key, group => group.Sum(pair => pair.Second.Total));
        foreach (var ((worker, name), bytes) in taken)
            if (survey.Workers.GetValueOrDefault(worker)?.Devices.FirstOrDefault(device => device.Name == name) is { } device)
                device.MemoryUsed -= bytes;
        _survey = survey;
        var placement = Plan(survey.Workers.ToDictionary());
        var fits = placement.Stages.GroupBy(stage => (stage.Worker, stage.Device)).All(group =>
            group.Sum(stage => stage.Memory.Total) <= group.First().Free - taken.GetValueOrDefault(group.Key));
        return (placement, fits);
    }

    private Placement Plan(Dictionary<string, WorkerDescription> workers)
    {
        // Layers that were meant for a worker that is not there, or not to be used, go where there is room for them.
        var left = PipelineStart.Without(config, Drained);
        var isWhole = left.Split?.All(stage => workers.ContainsKey(stage.Worker)) != false;
        left = left with
        {
            Split = isWhole ? left.Split : null,
            Pin = [.. left.Pin.Where(pin => workers.ContainsKey(pin.Worker))],
        };
        return ClusterPlan.Make(model, left, workers, _survey.Links);
    }

    private async Task<WorkerAnswer> AskAsync(WorkerConfig worker, TimeSpan patience, CancellationToken cancellation)
    {
        List<(string Worker, string Pipeline)> stale;
        lock (_stale)
            stale = [.. _stale.Where(entry => entry.Worker == worker.Name)];
        if (stale.Count > 0)
        {
            using var channel = NodeChannel.Open(worker.Address, patience, config.LinkOf(worker.Name), config.PeerOf(worker.Name));
            var client = new StageService.StageServiceClient(channel);
            try
            {
                foreach (var entry in stale)
                {
                    await client.UnloadAsync(
                        new UnloadRequest { Pipeline = entry.Pipeline }, deadline: DateTime.UtcNow + patience, cancellationToken: cancellation);
                }
            }
            catch (RpcException error)
            {
                cancellation.ThrowIfCancellationRequested();
                return new WorkerAnswer(worker.Name, null, StageFailureException.From(error, FailureCode.HopLost, worker.Name));
            }

            lock (_stale)
                _stale.ExceptWith(stale);
        }

        return await ClusterSurvey.AskAsync(worker, config with { ConnectTimeout = patience }, cancellation);
    }
}
