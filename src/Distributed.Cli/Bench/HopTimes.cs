using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Scheduling;

namespace Distributed.Cli.Bench;

/// <summary>What the way from one node to the next took in the steps of a test: medians from the waterfall, in µs.</summary>
/// <param name="From">Who sent: a worker, or <c>coordinator</c>.</param>
/// <param name="To">Who received.</param>
/// <param name="Steps">Steps that the medians are of.</param>
/// <param name="MedianUs">Of all parts together.</param>
/// <param name="SerializeUs">From computed to handed to the transport; 0 from the coordinator.</param>
/// <param name="WireUs">From the sender's call of its transport to complete arrival.</param>
/// <param name="DeserializeUs">From complete arrival to values in memory.</param>
/// <param name="QueueUs">Until the receiver computed with them; 0 at the coordinator.</param>
internal sealed record HopRow(
    string From, string To, int Steps, double MedianUs, double SerializeUs, double WireUs, double DeserializeUs, double QueueUs)
{
    /// <summary>Bytes of hidden states, or of token ids, in a step of the most tokens.</summary>
    public int Bytes { get; init; }

    /// <summary>What a plain socket takes for so many, see <see cref="RawHop"/>; null where there is none.</summary>
    public double? RawUs { get; init; }
}

/// <summary>Collects the hops of steps.</summary>
/// <param name="workers">The workers of the stages, in order.</param>
internal sealed class HopTimes(IReadOnlyList<string> workers)
{
    private readonly HashSet<long> _steps = [];
    private readonly List<StageTiming>[] _sent = [.. workers.Select(_ => new List<StageTiming>())];
    private readonly List<StageTiming>[] _received = [.. Enumerable.Range(0, workers.Count + 1).Select(_ => new List<StageTiming>())];

    /// <summary>Adds a step's; once, however many sequences shared it.</summary>
    public void Add(SharedStep step)
    {
        if (!_steps.Add(step.Number))
            return;
        foreach (var timing in step.Timings)
        {
            if ((uint)timing.Stage < (uint)_received.Length)
                _received[timing.Stage].Add(timing);
            if ((uint)timing.Stage < (uint)_sent.Length)
                _sent[timing.Stage].Add(timing);
        }
    }

    /// <summary>One row per hop, the coordinator's first and last, and forgets them. Empty where no step was added.</summary>
    public IReadOnlyList<HopRow> Take()
    {
        var rows = _received.Any(hop => hop.Count == 0)
            ? []
            : Enumerable.Range(0, _received.Length).Select(Row).ToList();
        foreach (var timings in (List<StageTiming>[])[.. _sent, .. _received])
            timings.Clear();
        _steps.Clear();
        return rows;
    }

    private HopRow Row(int hop)
    {
        var received = _received[hop];
        var serialize = hop == 0 ? new long[received.Count] : [.. _sent[hop - 1].Select(timing => timing.SerializeNs)];
        return new HopRow(
            hop == 0 ? "coordinator" : workers[hop - 1],
            hop == workers.Count ? "coordinator" : workers[hop],
            received.Count,
            Median(received.Select((timing, i) => serialize[i] + timing.WireNs + timing.DeserializeNs + timing.QueueNs)),
            Median(serialize),
            Median(received.Select(timing => timing.WireNs)),
            Median(received.Select(timing => timing.DeserializeNs)),
            Median(received.Select(timing => timing.QueueNs)));
    }

    private static double Median(IEnumerable<long> nanoseconds) => Statistics.Median(nanoseconds.Select(value => value / 1e3));
}
