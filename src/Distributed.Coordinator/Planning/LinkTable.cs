using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Planning;

/// <summary>One way of a link.</summary>
/// <param name="Latency">Seconds until a small frame is in the receiver's hands.</param>
/// <param name="BytesPerSecond">What a large one adds.</param>
public readonly record struct LinkTimes(double Latency, double BytesPerSecond)
{
    /// <summary>What <see cref="LinkProbe.Quick"/> came to; null where it failed.</summary>
    public static LinkTimes? Of(ProbeLinkRequest request, ProbeLinkReply reply)
    {
        if (reply.Failure is not null || reply.StepNs.Count == 0 || reply.ChunkNs.Count == 0)
            return null;
        var roundTrip = reply.StepNs.Order().ElementAt(reply.StepNs.Count / 2) / 1e9;
        // The least of them: others on the way only ever take some of it.
        return new LinkTimes(roundTrip / 2, request.ChunkBytes / Math.Max((reply.ChunkNs.Min() / 1e9) - roundTrip, 1e-6));
    }

    /// <summary>Seconds of one frame.</summary>
    public double Seconds(double bytes) => Latency + (bytes / BytesPerSecond);
}

/// <summary>The links of a cluster: between workers, and between the coordinator and each.</summary>
public sealed class LinkTable
{
    /// <summary>The name that stands for the coordinator.</summary>
    public const string Coordinator = "";

    // Between two devices of one worker: a call within a process, and a copy.
    private static readonly LinkTimes Within = new(100e-6, 5e9);

    private readonly Dictionary<(string From, string To), LinkTimes> _links = [];

    /// <summary>The link of two workers by their names; null where it was not measured.</summary>
    public LinkTimes? this[string from, string to]
    {
        get => from == to ? Within : _links.TryGetValue((from, to), out var link) ? link : null;
        set => _links[(from, to)] = value ?? throw new ArgumentNullException(nameof(value));
    }

    /// <summary>All links measured, by the names of their ends.</summary>
    public IReadOnlyDictionary<(string From, string To), LinkTimes> All => _links;

    /// <summary>
    /// The link of two workers; where it was not measured the slowest one that was, so that a plan does not count on it; where none
    /// was, that within a worker.
    /// </summary>
    public LinkTimes Of(string from, string to) => this[from, to] ?? (_links.Count > 0 ? _links.Values.MaxBy(link => link.Latency) : Within);
}
