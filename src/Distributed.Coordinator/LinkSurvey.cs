using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Grpc.Core;

namespace Distributed.Coordinator;

/// <summary>
/// Has the links of a cluster measured, as far as a plan can use them: all between any two workers where the planner chooses their
/// order, else those between neighbours.
/// </summary>
internal static class LinkSurvey
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Measures. A link that does not work is in the table with the reason.</summary>
    /// <param name="config">The cluster.</param>
    /// <param name="workers">What the workers say of themselves; others are left out, and so are those excluded.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<LinkTable> MakeAsync(
        ClusterConfig config, IReadOnlyDictionary<string, WorkerDescription> workers, CancellationToken cancellation)
    {
        var links = new LinkTable();
        var usable = config.Workers.Where(worker => workers.ContainsKey(worker.Name) && !config.Exclude.Contains(worker.Name)).ToList();
        var wanted = Wanted(config, usable);
        // Links that are alike are measured once.
        var alike = wanted.GroupBy(KeyOf).ToList();
        var results = new Dictionary<(string, string, string), (LinkTimes? Times, string? Reason)>();
        var left = alike.Select(group => (group.Key, Link: group.First())).ToList();
        while (left.Count > 0)
        {
            // Those that share a machine wait for each other: at once they would measure each other.
            var busy = new HashSet<string>();
            var round = left.Where(link => IsFree(busy, MachineOf(link.Link.From), MachineOf(link.Link.To))).ToList();
            left.RemoveAll(round.Contains);
            var times = await Task.WhenAll(round.Select(link => ProbeAsync(link.Link, config, cancellation)));
            foreach (var (link, result) in round.Zip(times))
                results[link.Key] = result;
        }

        foreach (var group in alike)
            foreach (var link in group)
                Add(links, link, results[group.Key]);
        return links;

        string MachineOf(WorkerConfig? end) => end is null || end.Address.IsThisMachine ? Environment.MachineName
            : workers[end.Name].Machine is { Length: > 0 } machine ? machine : end.Name;

        // Workers of this machine reach each other alike, and so does the coordinator all of them.
        (string, string, string) KeyOf(WantedLink link)
        {
            var isOne = link.To.Address.IsThisMachine
                && (link.From is not { } from || (from.Address.IsThisMachine && workers[from.Name].Machine == workers[link.To.Name].Machine));
            return isOne
                ? (link.From is null ? "coordinator" : "worker", "worker", $"here {link.Shape(config)}")
                : (link.From?.Name ?? LinkTable.Coordinator, link.To.Name, "");
        }
    }

    /// <summary>From a worker, or the coordinator where there is none, to a worker.</summary>
    private sealed record WantedLink(WorkerConfig? From, WorkerConfig To)
    {
        public LinkShape? Shape(ClusterConfig config) => From is null ? config.LinkOf(To.Name) : config.LinkBetween(From.Name, To.Name);
    }

    private static List<WantedLink> Wanted(ClusterConfig config, List<WorkerConfig> usable)
    {
        var isFree = config.Split is null && !config.SplitOverAll;
        var order = config.Split is null
            ? usable
            : [.. config.Split.OrderBy(stage => stage.Layers.First).Select(stage => usable.Find(worker => worker.Name == stage.Worker)).OfType<WorkerConfig>()];
        var ends = isFree || order.Count == 0 ? order : [order[0], order[^1]];
        var pairs = isFree
            ? order.SelectMany(from => order.Select(to => new WantedLink(from, to)))
            : order.Zip(order.Skip(1), (from, to) => new WantedLink(from, to));
        return [.. ends.Select(end => new WantedLink(null, end)).Concat(pairs.Where(pair => pair.From != pair.To)).Distinct()];
    }

    private static bool IsFree(HashSet<string> busy, string from, string to)
    {
        if (busy.Contains(from) || busy.Contains(to))
            return false;
        busy.Add(from);
        busy.Add(to);
        return true;
    }

    private static void Add(LinkTable links, WantedLink link, (LinkTimes? Times, string? Reason) result)
    {
        var (from, to) = (link.From?.Name ?? LinkTable.Coordinator, link.To.Name);
        // The way back to the coordinator is taken to be as the way there.
        (string, string)[] ways = link.From is null ? [(from, to), (to, from)] : [(from, to)];
        foreach (var (start, end) in ways)
        {
            if (result.Times is { } times)
                links[start, end] = times;
            else
                links.Fail(start, end, result.Reason ?? "nothing was timed");
        }
    }

    private static async Task<(LinkTimes? Times, string? Reason)> ProbeAsync(
        WantedLink link, ClusterConfig config, CancellationToken cancellation)
    {
        var shape = link.Shape(config);
        var request = LinkProbe.Quick(link.To.Address, shape, link.To.Name);
        var patience = Patience + (shape?.Wait ?? TimeSpan.Zero);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limited.CancelAfter(patience);
        try
        {
            var reply = link.From is { } from
                ? await AskAsync(from, request, config, limited.Token)
                : await LinkProbe.RunAsync(request, "coordinator", limited.Token, config.Tls?.Load());
            return (LinkTimes.Of(request, reply), reply.Failure?.Message);
        }
        catch (Exception error) when (error is RpcException or OperationCanceledException)
        {
            cancellation.ThrowIfCancellationRequested();
            return (null, error is RpcException rpc && !limited.IsCancellationRequested
                ? StageFailureException.From(rpc, FailureCode.HopLost, $"{link.From!.Name} ({link.From.Address})").Failure.Message
                : $"not timed within {patience.TotalSeconds:0} s");
        }
    }

    private static async Task<ProbeLinkReply> AskAsync(
        WorkerConfig from, ProbeLinkRequest request, ClusterConfig config, CancellationToken cancellation)
    {
        using var channel = NodeChannel.Open(from.Address, config.ConnectTimeout, config.LinkOf(from.Name), config.PeerOf(from.Name));
        return await new StageService.StageServiceClient(channel).ProbeLinkAsync(request, cancellationToken: cancellation);
    }
}
