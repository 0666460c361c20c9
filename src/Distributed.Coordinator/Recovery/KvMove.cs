using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;

namespace Distributed.Coordinator.Recovery;

/// <summary>
/// The KV cache of running sequences on its way from stages that stand still to those that take their layers over: which stage fetches
/// what from where, and how long that should take.
/// </summary>
internal sealed class KvMove
{
    // What the calls and the connections between the workers take besides what their links say: 20 to 80 ms were measured on two slow cores.
    private const double SetUpSeconds = 50e-3;

    private readonly Pipeline _old;
    private readonly Pipeline _next;
    private readonly ClusterConfig _config;
    private readonly IReadOnlyList<MovedSequence> _sequences;

    private KvMove(
        Pipeline old, Pipeline next, ClusterConfig config, IReadOnlyList<MovedSequence> sequences, double predictedMs)
    {
        (_old, _next, _config, _sequences) = (old, next, config, sequences);
        PredictedMs = predictedMs;
    }

    /// <summary>How long it should take, ms.</summary>
    public double PredictedMs { get; }

    /// <summary>Sequences, and the tokens whose keys and values are moved.</summary>
    public IReadOnlyDictionary<long, IReadOnlyList<int>> Tokens =>
        _sequences.ToDictionary(moved => moved.Sequence, moved => (IReadOnlyList<int>)moved.TokenIds);

    /// <summary>Looks what could be moved.</summary>
    /// <param name="old">The stages that had the layers. They compute nothing new, and are not unloaded yet.</param>
    /// <param name="next">Those that have them now, and hold nothing yet.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="links">Its links.</param>
    /// <param name="running">Sequences that go on, with their tokens.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>Null where there is nothing to move, or a device's blocks cannot be handed to another one.</returns>
    /// <exception cref="StageFailureException">A worker does not answer.</exception>
    public static async Task<KvMove?> PlanAsync(
        Pipeline old, Pipeline next, ClusterConfig config, LinkTable links, IReadOnlyList<(long Sequence, int[] Tokens)> running,
        CancellationToken cancellation)
    {
        IReadOnlyList<StageKv>[] reports;
        try
        {
            // Streams stand meanwhile: no longer than it may take to notice that a worker is gone.
            reports = await Task.WhenAll(old.ReportKvAsync(withTokens: true, cancellation), next.ReportKvAsync(cancellation))
                .WaitAsync(config.FailureTimeout, cancellation);
        }
        catch (TimeoutException error)
        {
            throw new StageFailureException(
                FailureCode.HopLost, $"what they hold was not told within {config.FailureTimeout.TotalSeconds:0.#} s", "the old and new stages",
                inner: error);
        }

        var (held, empty) = (reports[0], reports[1]);
        var layouts = held.Concat(empty).Select(stage => stage.Layout).Distinct().ToList();
        if (held.Count != old.Placement.Stages.Count || layouts is not [{ Length: > 0 }])
            return null;
        var sequences = running.Select(run => Moved(run.Sequence, run.Tokens, held)).OfType<MovedSequence>().ToList();
        if (sequences.Count == 0)
            return null;
        var blocks = sequences.Sum(moved => (long)StageSpec.BlocksFor(moved.TokenIds.Count));
        // Stages fetch at the same time, each from one worker after the other.
        var seconds = next.Placement.Stages.Max(stage => Sources(old, stage).Sum(source =>
        {
            var link = links.Of(source.Stage.Worker, stage.Worker);
            var of = held[source.Stage.Index];
            // To connect, and to ask.
            return (3 * link.Latency) + link.Seconds((double)blocks * of.BlockBytes / (of.EndLayer - of.FirstLayer) * (source.End - source.First));
        }));
        // What they hold is asked, and then they are told to fetch.
        var calls = 4 * next.Placement.Stages.Max(stage => links.Of(LinkTable.Coordinator, stage.Worker).Latency);
        return new KvMove(old, next, config, sequences, (SetUpSeconds + calls + seconds) * 1e3);
    }

    /// <summary>Moves it.</summary>
    /// <returns>Bytes.</returns>
    /// <exception cref="StageFailureException">Something did not come: no stage has any of it.</exception>
    public async Task<long> RunAsync(CancellationToken cancellation)
    {
        var patience = _config.FailureTimeout + TimeSpan.FromMilliseconds(4 * PredictedMs);
        var moves = _next.Placement.Stages.Select(stage => _next.MoveKvAsync(
            stage, Sources(_old, stage).Select(source => Source(source, stage)), _sequences, patience, cancellation)).ToList();
        try
        {
            return (await Task.WhenAll(moves)).Sum();
        }
        catch (StageFailureException)
        {
            // A stage that has got all of it must not keep it.
            await ((Task)Task.WhenAll(moves)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            // Steps that come behind cut it back in any case.
            Task released = _next.ReleaseAsync([.. _sequences.Select(moved => moved.Sequence)], cancellation);
            await released.WaitAsync(_config.FailureTimeout, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }
    }

    // As many of its tokens as all stages hold, but for the last: the next one is drawn behind it. Null where that is none.
    private static MovedSequence? Moved(long sequence, int[] tokens, IReadOnlyList<StageKv> held)
    {
        var length = held.Min(stage => stage.Sequences.FirstOrDefault(known => known.Sequence == sequence) is { } known
            ? known.TokenIds.Zip(tokens).TakeWhile(pair => pair.First == pair.Second).Count()
            : 0);
        length = Math.Min(length, tokens.Length - 1);
        return length < 1 ? null : new MovedSequence { Sequence = sequence, TokenIds = { tokens[..length] } };
    }

    private static IEnumerable<(StagePlacement Stage, int First, int End)> Sources(Pipeline old, StagePlacement stage) => old.Placement.Stages
        .Select(source => (
            Stage: source, First: Math.Max(source.Spec.FirstLayer, stage.Spec.FirstLayer), End: Math.Min(source.Spec.EndLayer, stage.Spec.EndLayer)))
        .Where(source => source.First < source.End);

    private KvSource Source((StagePlacement Stage, int First, int End) source, StagePlacement to) => new()
    {
        Pipeline = _old.Name,
        Epoch = _old.Epoch,
        Stage = source.Stage.Index,
        FirstLayer = source.First,
        EndLayer = source.End,
        Address = source.Stage.Worker == to.Worker ? "" : source.Stage.Address.ToString(),
        Worker = source.Stage.Worker,
        Link = $"{_config.LinkBetween(to.Worker, source.Stage.Worker)}",
    };
}
