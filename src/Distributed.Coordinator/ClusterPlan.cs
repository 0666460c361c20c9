using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Grpc.Core;

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
    public static async Task<Placement> MakeAsync(ModelFile model, ClusterConfig config, CancellationToken cancellation) =>
        Make(model, config, await DescribeAsync(config, cancellation));

    /// <summary>Asks every worker what it has; one that does not answer is left out.</summary>
    /// <param name="config">The cluster.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>What the workers say of themselves, by the name that the config gives them; at least one.</returns>
    /// <exception cref="StageFailureException">No worker answers, or one speaks another version of the protocol.</exception>
    public static async Task<IReadOnlyDictionary<string, WorkerDescription>> DescribeAsync(
        ClusterConfig config, CancellationToken cancellation)
    {
        var answers = await Task.WhenAll(config.Workers.Select(worker => AskAsync(worker, config.ConnectTimeout, cancellation)));
        var described = answers.Where(answer => answer.Description is not null)
            .ToDictionary(answer => answer.Name, answer => answer.Description!);
        // One silent worker can be left out; with none at all, why they are silent says more than that nothing fits.
        if (described.Count == 0 && answers.FirstOrDefault(answer => answer.Failure is not null).Failure is { } failure)
            throw failure;
        return described;
    }

    /// <summary>Plans with what is known of the workers.</summary>
    /// <param name="model">The model.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="workers">What the workers say of themselves, by the name that the config gives them.</param>
    /// <exception cref="InvalidInputException">The config does not suit the model or the workers, or the model does not fit.</exception>
    public static Placement Make(ModelFile model, ClusterConfig config, IReadOnlyDictionary<string, WorkerDescription> workers) =>
        new Planner(model.Config, spec => StageMemoryForecast.Forecast(model, spec)).Plan(config, workers);

    private static async Task<(string Name, WorkerDescription? Description, StageFailureException? Failure)> AskAsync(
        WorkerConfig worker, TimeSpan timeout, CancellationToken cancellation)
    {
        using var channel = NodeChannel.Open(worker.Address, timeout);
        WorkerDescription description;
        try
        {
            description = await new StageService.StageServiceClient(channel).DescribeAsync(
                new DescribeRequest(), deadline: DateTime.UtcNow + timeout, cancellationToken: cancellation);
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            return (worker.Name, null, StageFailureException.From(error, FailureCode.NextUnreachable, $"{worker.Name} ({worker.Address})"));
        }

        if (description.ProtocolVersion != ProtocolVersion.Current)
        {
            throw new StageFailureException(
                FailureCode.ProtocolMismatch,
                $"speaks protocol version {description.ProtocolVersion}, this coordinator speaks {ProtocolVersion.Current}; "
                + "run the same program on both",
                $"{worker.Name} ({worker.Address})");
        }

        return (worker.Name, description, null);
    }
}
