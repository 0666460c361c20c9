using Distributed.Cluster;
using Distributed.Cluster.Config;
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
    internal static async Task<IReadOnlyDictionary<string, WorkerDescription>> DescribeAsync(
        ClusterConfig config, CancellationToken cancellation, bool isAnyNeeded = false)
    {
        var answers = await Task.WhenAll(config.Workers.Select(worker => AskAsync(worker, config.ConnectTimeout, cancellation)));
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
        await Task.WhenAll(asked.Select(worker => AddProfilesAsync(worker, workers[worker.Name], request, config.ConnectTimeout, cancellation)));

        var links = new LinkTable();
        LinkTimes? here = null;
        foreach (var worker in asked)
        {
            // Workers of this machine are reached alike: one stands for all.
            var times = worker.Address.IsThisMachine ? here : null;
            if (times is null)
            {
                var link = await LinkMeter.MeasureAsync(worker.Address, cancellation);
                if (link.Failure.Length > 0)
                    continue;
                times = LinkTimes.Of(link);
                here = worker.Address.IsThisMachine ? times : here;
            }

            links[LinkTable.Coordinator, worker.Name] = times;
            links[worker.Name, LinkTable.Coordinator] = times;
        }

        await AddLinksAsync(links, asked, workers, config, cancellation);
        return links;
    }

    private static async Task AddProfilesAsync(
        WorkerConfig worker, WorkerDescription description, ProfileRequest request, TimeSpan connectTimeout, CancellationToken cancellation)
    {
        using var channel = NodeChannel.Open(worker.Address, connectTimeout);
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

    // Workers of one machine reach each other alike: one pair of them stands for all.
    private static async Task AddLinksAsync(
        LinkTable links, List<WorkerConfig> asked, IReadOnlyDictionary<string, WorkerDescription> workers, ClusterConfig config,
        CancellationToken cancellation)
    {
        var known = new Dictionary<(string, string), LinkTimes>();
        foreach (var from in asked)
        {
            var targets = asked.Where(to => to != from && !known.ContainsKey(KeyOf(from, to))).DistinctBy(to => KeyOf(from, to)).ToList();
            if (targets.Count > 0)
            {
                foreach (var (to, link) in targets.Zip(await MeasureAsync(from, targets, config.ConnectTimeout, cancellation)))
                {
                    if (link is { Failure: "" })
                        known[KeyOf(from, to)] = LinkTimes.Of(link);
                }
            }

            foreach (var to in asked.Where(to => to != from))
            {
                if (known.TryGetValue(KeyOf(from, to), out var times))
                    links[from.Name, to.Name] = times;
            }
        }

        (string, string) KeyOf(WorkerConfig from, WorkerConfig to)
        {
            var machine = workers[from.Name].Machine;
            var isOne = machine.Length > 0 && machine == workers[to.Name].Machine
                && from.Address.IsThisMachine && to.Address.IsThisMachine;
            return isOne ? (machine, machine) : (from.Name, to.Name);
        }
    }

    private static async Task<IReadOnlyList<LinkProfile>> MeasureAsync(
        WorkerConfig from, List<WorkerConfig> targets, TimeSpan connectTimeout, CancellationToken cancellation)
    {
        using var channel = NodeChannel.Open(from.Address, connectTimeout);
        try
        {
            var request = new MeasureLinksRequest { Addresses = { targets.Select(to => to.Address.ToString()) } };
            var patience = connectTimeout + (LinkMeter.Patience * targets.Count);
            var report = await new StageService.StageServiceClient(channel).MeasureLinksAsync(
                request, deadline: DateTime.UtcNow + patience, cancellationToken: cancellation);
            return report.Links;
        }
        catch (RpcException)
        {
            cancellation.ThrowIfCancellationRequested();
            return [];
        }
    }

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
