using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Planning;

/// <summary>One way of a link.</summary>
/// <param name="Latency">Seconds until a small frame is in the receiver's hands.</param>
/// <param name="BytesPerSecond">What a large one adds.</param>
public readonly record struct LinkTimes(double Latency, double BytesPerSecond)
{
    // More than two processes copy to each other through memory: a difference of times below this is the clock's noise.
    private const double MostBytesPerSecond = 20e9;

    /// <summary>A link that does not carry anything.</summary>
    public static LinkTimes Unusable { get; } = new(double.PositiveInfinity, MostBytesPerSecond);

    /// <summary>What <see cref="LinkProbe.Quick"/> came to; null where it failed.</summary>
    public static LinkTimes? Of(ProbeLinkRequest request, ProbeLinkReply reply)
    {
        if (reply.Failure is not null || reply.StepNs.Count == 0 || reply.ChunkNs.Count == 0)
            return null;
        // A step's bytes go there and back, a large chunk's only there: T(step) = 2 latencies + 2 step/rate, T(chunk) = 2 latencies + chunk/rate.
        // The least of each for the rate: others on the way only ever take some of it.
        var crossed = request.ChunkBytes * (request.ChunkBytes <= LinkProbe.MostEchoed ? 2.0 : 1.0);
        var bytes = Math.Max(1, crossed - (2.0 * request.StepBytes));
        var rate = bytes / Math.Max((reply.ChunkNs.Min() - reply.StepNs.Min()) / 1e9, bytes / MostBytesPerSecond);
        // Not the median: what a program that has just started takes to wake up, or to be compiled, is no part of the link.
        var roundTrip = reply.StepNs.Order().ElementAt(reply.StepNs.Count / 4) / 1e9;
        return new LinkTimes(Math.Max(0, (roundTrip / 2) - (request.StepBytes / rate)), rate);
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
    private readonly Dictionary<(string From, string To), string> _failed = [];

    /// <summary>The link of two workers by their names; null where it was not measured, or could not be.</summary>
    public LinkTimes? this[string from, string to]
    {
        get => from == to ? Within : _links.TryGetValue((from, to), out var link) ? link : null;
        set => _links[(from, to)] = value ?? throw new ArgumentNullException(nameof(value));
    }

    /// <summary>All links measured, by the names of their ends.</summary>
    public IReadOnlyDictionary<(string From, string To), LinkTimes> All => _links;

    /// <summary>Links that do not work, by the names of their ends, each with the reason; no plan counts on one.</summary>
    public IReadOnlyDictionary<(string From, string To), string> Failed => _failed;

    /// <summary>Takes down that a link does not work, and why.</summary>
    public void Fail(string from, string to, string reason) => _failed[(from, to)] = reason;

    /// <summary>The failed links in words, those of one reason together; null where there is none.</summary>
    public string? DescribeFailed() => _failed.Count == 0 ? null : string.Join("; ", _failed.GroupBy(link => link.Value).Select(group =>
        $"no times of the link{(group.Count() > 1 ? "s" : "")} from "
        + $"{string.Join(", ", group.Select(link => $"{NameOf(link.Key.From)} to {NameOf(link.Key.To)}"))}: {group.Key}"));

    /// <summary>An end of a link for people.</summary>
    public static string NameOf(string end) => end is Coordinator ? "the coordinator" : end;

    /// <summary>
    /// The link of two workers; one that failed takes for ever. Where none was asked for, the slowest one that was measured; where none
    /// was, that within a worker.
    /// </summary>
    public LinkTimes Of(string from, string to) => _failed.ContainsKey((from, to)) ? LinkTimes.Unusable
        : this[from, to] ?? (_links.Count > 0 ? _links.Values.MaxBy(link => link.Latency) : Within);
}
