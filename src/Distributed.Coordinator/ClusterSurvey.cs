using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Grpc.Core;

namespace Distributed.Coordinator;

/// <summary>What a plan is made from: the workers that answer, what their devices can do, and the links between them.</summary>
/// <param name="Workers">What the workers say of themselves, with their devices' profiles, by the name that the config gives them.</param>
/// <param name="Links">The links.</param>
public sealed record ClusterSurvey(IReadOnlyDictionary<string, WorkerDescription> Workers, LinkTable Links)
{
    // A worker that has not seen a format before measures it, behind others of its machine.
    private static readonly TimeSpan ProfilePatience = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan ProbePatience = TimeSpan.FromSeconds(30);

    /// <summary>Asks every worker what it has and can do, and has the links measured.</summary>
    /// <param name="model">The model: its formats must be in the profiles.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="StageFailureException">No worker answers, or one speaks another version of the protocol.</exception>
    public static async Task<ClusterSurvey> MakeAsync(ModelFile model, ClusterConfig config, CancellationToken cancellation)
    {
        var workers = await DescribeAsync(config, cancellation, isAnyNeeded: true);
        return new ClusterSurvey(workers, await MeasureAsync(ModelUnits.Of(model), config, workers, cancellation));
    }

    /// <summary>What the workers that answer say of themselves now.</summary>
    public static async Task<IReadOnlyDictionary<string, WorkerDescription>> DescribeAsync(
        ClusterConfig config, CancellationToken cancellation, bool isAnyNeeded = false)
    {
        var answers = await Task.WhenAll(config.Workers.Select(worker => AskAsync(worker, config, cancellation)));
        var described = answers.Where(answer => answer.Description is not null)
            .ToDictionary(answer => answer.Name, answer => answer.Description!);
        // One silent worker can be left out; with none at all, why they are silent says more than that nothing fits.
        if (isAnyNeeded && described.Count == 0 && answers.FirstOrDefault(answer => answer.Failure is not null).Failure is { } failure)
            throw failure;
        return described;
    }

    // Devices get their profiles; those of a worker that does not tell have none.
    private static async Task<LinkTable> MeasureAsync(
        ModelUnits units, ClusterConfig config, IReadOnlyDictionary<string, WorkerDescription> workers, CancellationToken cancellation)
    {
        var request = new ProfileRequest { Types_ = { units.Types }, KvTypes = { config.KvType.ToName() } };
        var asked = config.Workers.Where(worker => workers.ContainsKey(worker.Name) && !config.Exclude.Contains(worker.Name)).ToList();
        await Task.WhenAll(asked.Select(worker => AddProfilesAsync(worker, workers[worker.Name], request, config, cancellation)));

        var links = new LinkTable();
        var here = new Dictionary<string, LinkTimes>();
        foreach (var worker in asked)
        {
            // Workers of this machine are reached alike: one stands for all whose links have the same shape.
            var shape = config.LinkOf(worker.Name);
            var isHere = worker.Address.IsThisMachine;
            if (!isHere || !here.TryGetValue($"{shape}", out var times))
            {
                var probe = LinkProbe.Quick(worker.Address, shape);
                if (LinkTimes.Of(probe, await LinkProbe.RunAsync(probe, "coordinator", cancellation)) is not { } measured)
                    continue;
                times = measured;
                if (isHere)
                    here[$"{shape}"] = times;
            }

            links[LinkTable.Coordinator, worker.Name] = times;
            links[worker.Name, LinkTable.Coordinator] = times;
        }

        await AddLinksAsync(links, asked, workers, config, cancellation);
        return links;
    }

    private static async Task AddProfilesAsync(
        WorkerConfig worker, WorkerDescription description, ProfileRequest request, ClusterConfig config, CancellationToken cancellation)
    {
        using var channel = NodeChannel.Open(worker.Address, config.ConnectTimeout, config.LinkOf(worker.Name));
        try
        {
            var reply = await new StageService.StageServiceClient(channel).ProfileAsync(
                request, deadline: DateTime.UtcNow + ProfilePatience, cancellationToken: cancellation);
            foreach (var device in description.Devices)
                device.Profile = reply.Devices.FirstOrDefault(profile => profile.Device == device.Name);
        }
        catch (RpcException)
        {
            // It can hold layers all the same; the plan then goes by memory.
            cancellation.ThrowIfCancellationRequested();
        }
    }

    // Workers of one machine reach each other alike: one pair of them stands for all whose links have the same shape.
    private static async Task AddLinksAsync(
        LinkTable links, List<WorkerConfig> asked, IReadOnlyDictionary<string, WorkerDescription> workers, ClusterConfig config,
        CancellationToken cancellation)
    {
        var known = new Dictionary<(string, string, string), LinkTimes?>();
        foreach (var from in asked)
        {
            // One after the other: two at a time would measure each other.
            foreach (var to in asked.Where(to => to != from))
            {
                var key = KeyOf(from, to);
                if (!known.ContainsKey(key))
                    known[key] = await ProbeAsync(from, to, config, cancellation);
                if (known[key] is { } times)
                    links[from.Name, to.Name] = times;
            }
        }

        (string, string, string) KeyOf(WorkerConfig from, WorkerConfig to)
        {
            var machine = workers[from.Name].Machine;
            var isOne = machine.Length > 0 && machine == workers[to.Name].Machine
                && from.Address.IsThisMachine && to.Address.IsThisMachine;
            return isOne ? (machine, machine, $"{config.LinkBetween(from.Name, to.Name)}") : (from.Name, to.Name, "");
        }
    }

    private static async Task<LinkTimes?> ProbeAsync(
        WorkerConfig from, WorkerConfig to, ClusterConfig config, CancellationToken cancellation)
    {
        using var channel = NodeChannel.Open(from.Address, config.ConnectTimeout, config.LinkOf(from.Name));
        try
        {
            var request = LinkProbe.Quick(to.Address, config.LinkBetween(from.Name, to.Name));
            return LinkTimes.Of(request, await new StageService.StageServiceClient(channel).ProbeLinkAsync(
                request, deadline: DateTime.UtcNow + ProbePatience, cancellationToken: cancellation));
        }
        catch (RpcException)
        {
            cancellation.ThrowIfCancellationRequested();
            return null;
        }
    }

    private static async Task<(string Name, WorkerDescription? Description, StageFailureException? Failure)> AskAsync(
        WorkerConfig worker, ClusterConfig config, CancellationToken cancellation)
    {
        using var channel = NodeChannel.Open(worker.Address, config.ConnectTimeout, config.LinkOf(worker.Name));
        WorkerDescription description;
        try
        {
            description = await new StageService.StageServiceClient(channel).DescribeAsync(
                new DescribeRequest(), deadline: DateTime.UtcNow + config.ConnectTimeout, cancellationToken: cancellation);
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
