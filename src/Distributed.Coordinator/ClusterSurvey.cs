using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Grpc.Core;

namespace Distributed.Coordinator;

/// <summary>What came back when a worker was asked how it is.</summary>
/// <param name="Name">Its name in the cluster.</param>
/// <param name="Description">What it says of itself; null where it does not answer, or not in this version of the protocol.</param>
/// <param name="Failure">Why there is no description; null where there is one.</param>
internal sealed record WorkerAnswer(string Name, WorkerDescription? Description, StageFailureException? Failure);

/// <summary>What a plan is made from: the workers that answer, what their devices can do, and the links between them.</summary>
/// <param name="Workers">What the workers say of themselves, with their devices' profiles, by the name that the config gives them.</param>
/// <param name="Links">The links that a plan can use.</param>
/// <param name="Unprofiled">Workers whose devices have no profiles, each with the reason.</param>
public sealed record ClusterSurvey(
    IReadOnlyDictionary<string, WorkerDescription> Workers, LinkTable Links, IReadOnlyDictionary<string, string> Unprofiled)
{
    // A worker that has not seen a format before measures it, behind others of its machine.
    private static readonly TimeSpan ProfilePatience = TimeSpan.FromMinutes(2);

    /// <summary>Asks every worker what it has and can do, and has the links measured.</summary>
    /// <param name="model">The model: its formats must be in the profiles.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="StageFailureException">No worker answers, or one speaks another version of the protocol, or is not who it must be.</exception>
    public static async Task<ClusterSurvey> MakeAsync(ModelFile model, ClusterConfig config, CancellationToken cancellation)
    {
        var workers = await DescribeAsync(config, cancellation);
        var unprofiled = await AddProfilesAsync(ModelUnits.Of(model), config, workers, cancellation);
        return new ClusterSurvey(workers, await LinkSurvey.MakeAsync(config, workers, cancellation), unprofiled);
    }

    /// <summary>What the workers say of themselves now, in the order of the config.</summary>
    internal static Task<WorkerAnswer[]> AskAsync(ClusterConfig config, CancellationToken cancellation) =>
        Task.WhenAll(config.Workers.Select(worker => AskAsync(worker, config, cancellation)));

    /// <summary>What the workers that answer say of themselves now.</summary>
    /// <exception cref="StageFailureException">No worker answers, or one speaks another version of the protocol.</exception>
    public static async Task<IReadOnlyDictionary<string, WorkerDescription>> DescribeAsync(ClusterConfig config, CancellationToken cancellation)
    {
        var answers = await AskAsync(config, cancellation);
        if (answers.FirstOrDefault(answer => answer.Failure?.Failure.Code is FailureCode.ProtocolMismatch or FailureCode.NotTrusted)?.Failure is { } mismatch)
            throw mismatch;
        var described = answers.Where(answer => answer.Description is not null)
            .ToDictionary(answer => answer.Name, answer => answer.Description!);
        // One silent worker can be left out; with none at all, why they are silent says more than that nothing fits.
        if (described.Count == 0 && answers.FirstOrDefault(answer => answer.Failure is not null)?.Failure is { } failure)
            throw failure;
        return described;
    }

    // Devices get their profiles; those of a worker that does not tell have none, for the reason returned.
    private static async Task<IReadOnlyDictionary<string, string>> AddProfilesAsync(
        ModelUnits units, ClusterConfig config, IReadOnlyDictionary<string, WorkerDescription> workers, CancellationToken cancellation)
    {
        var request = new ProfileRequest { Types_ = { units.Types }, KvTypes = { config.KvType.ToName() } };
        var asked = config.Workers.Where(worker => workers.ContainsKey(worker.Name) && !config.Exclude.Contains(worker.Name)).ToList();
        var reasons = await Task.WhenAll(
            asked.Select(worker => AddProfilesAsync(worker, workers[worker.Name], request, config, cancellation)));
        return asked.Zip(reasons).Where(pair => pair.Second is not null).ToDictionary(pair => pair.First.Name, pair => pair.Second!);
    }

    private static async Task<string?> AddProfilesAsync(
        WorkerConfig worker, WorkerDescription description, ProfileRequest request, ClusterConfig config, CancellationToken cancellation)
    {
        using var channel = NodeChannel.Open(worker.Address, config.ConnectTimeout, config.LinkOf(worker.Name), config.PeerOf(worker.Name));
        try
        {
            var reply = await new StageService.StageServiceClient(channel).ProfileAsync(
                request, deadline: DateTime.UtcNow + ProfilePatience, cancellationToken: cancellation);
            foreach (var device in description.Devices)
            {
                var profile = reply.Devices.FirstOrDefault(profile => profile.Device == device.Name);
                if (profile is not null && !SoundProfile.Is(profile))
                    return $"the profile of its {device.Name} has figures that are none";
                device.Profile = profile;
            }

            return null;
        }
        catch (RpcException error)
        {
            // It can hold layers all the same; the plan then goes by memory.
            cancellation.ThrowIfCancellationRequested();
            return StageFailureException.From(error, FailureCode.HopLost, worker.Name).Failure.Message;
        }
    }

    /// <summary>What one worker says of itself now.</summary>
    internal static async Task<WorkerAnswer> AskAsync(
        WorkerConfig worker, ClusterConfig config, CancellationToken cancellation)
    {
        using var channel = NodeChannel.Open(worker.Address, config.ConnectTimeout, config.LinkOf(worker.Name), config.PeerOf(worker.Name));
        WorkerDescription description;
        try
        {
            description = await new StageService.StageServiceClient(channel).DescribeAsync(
                new DescribeRequest(), deadline: DateTime.UtcNow + config.ConnectTimeout, cancellationToken: cancellation);
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            return new WorkerAnswer(
                worker.Name, null, StageFailureException.From(error, FailureCode.NextUnreachable, $"{worker.Name} ({worker.Address})"));
        }

        if (description.ProtocolVersion != ProtocolVersion.Current)
        {
            return new WorkerAnswer(worker.Name, null, new StageFailureException(
                FailureCode.ProtocolMismatch,
                $"speaks protocol version {description.ProtocolVersion}, this coordinator speaks {ProtocolVersion.Current}; "
                + "run the same program on both",
                $"{worker.Name} ({worker.Address})"));
        }

        // Filled in here, from a profile that is sound; never what came along.
        foreach (var device in description.Devices)
            device.Profile = null;
        return new WorkerAnswer(worker.Name, description, null);
    }
}
