using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Coordinator.Scheduling;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>What a step is predicted to take, in ms.</summary>
/// <param name="Stages">The stages' computing, in order.</param>
/// <param name="Hops">The ways into stage 0, 1, … and back to the coordinator: one more than stages.</param>
/// <param name="TokenMs">From one token of a sequence to its next, with the sequences asked for: A, m·B or the cores, whichever is most.</param>
public sealed record PredictedStep(IReadOnlyList<double> Stages, IReadOnlyList<double> Hops, double TokenMs)
{
    /// <summary>One batch on its way: all stages and hops.</summary>
    public double PathMs => Stages.Sum() + Hops.Sum();
}

/// <summary>A stage for the costs: a device and its run of units.</summary>
/// <param name="Costs">The device's costs.</param>
/// <param name="First">The first unit.</param>
/// <param name="End">One past the last unit.</param>
/// <param name="Worker">The worker's name.</param>
/// <param name="Machine">The machine's name.</param>
/// <param name="Cores">Threads that the machine runs at once; 0 where it does not tell.</param>
internal sealed record CostedStage(DeviceCosts Costs, int First, int End, string Worker, string Machine, int Cores);

/// <summary>What a placement is predicted to take, step by step: from the profiles of its devices and links.</summary>
public sealed class PlacementCosts
{
    private readonly ModelConfig _model;
    private readonly IReadOnlyList<CostedStage> _stages;
    private readonly LinkTable _links;
    private readonly ClusterConfig _config;

    internal PlacementCosts(ModelConfig model, IReadOnlyList<CostedStage> stages, LinkTable links, ClusterConfig config) =>
        (_model, _stages, _links, _config) = (model, stages, links, config);

    /// <summary>The next token of some sequences.</summary>
    /// <param name="keys">Keys that each sees, on average.</param>
    /// <param name="sequences">Sequences at once: they go in the number of batches that is quickest, at most one per stage.</param>
    public PredictedStep Decode(double keys, int sequences = 1) =>
        Enumerable.Range(1, Math.Min(sequences, _stages.Count)).Select(batches => Decode(keys, sequences, batches)).MinBy(step => step.TokenMs)!;

    private PredictedStep Decode(double keys, int sequences, int batches)
    {
        var step = StepShape.Decode((sequences + batches - 1) / batches, keys);
        double[] stages = [.. _stages.Select(stage => StageSeconds(stage, step))];
        double[] hops = [.. Enumerable.Range(0, _stages.Count + 1).Select(hop => HopSeconds(hop, step.Tokens))];
        var most = Math.Max(stages.Max(), MostCoreSeconds(stages));
        var token = Math.Max(stages.Sum() + hops.Sum(), batches == 1 ? 0 : batches * most);
        return new PredictedStep(Milliseconds(stages), Milliseconds(hops), token * 1000);
    }

    /// <summary>A prompt, in chunks that follow each other through the stages. The stages' and hops' times are those of all chunks.</summary>
    /// <param name="start">Tokens of it that are cached already.</param>
    /// <param name="end">Its tokens, more than <paramref name="start"/>.</param>
    /// <returns>The times; its token is the first of the answer, so <see cref="PredictedStep.TokenMs"/> is the time to that.</returns>
    public PredictedStep Prefill(int start, int end)
    {
        var (stages, hops) = (new double[_stages.Count], new double[_stages.Count + 1]);
        var free = new double[_stages.Count];
        var done = 0.0;
        var chunk = BatchFormation.ChunkFor(end - start, _stages.Count, _config.MaxBatchTokens);
        for (var at = start; at < end; at += chunk)
        {
            var tokens = Math.Min(chunk, end - at);
            var step = StepShape.Prefill(at, tokens, at + tokens == end);
            var arrived = 0.0;
            for (var i = 0; i < stages.Length; i++)
            {
                var (hop, stage) = (HopSeconds(i, tokens), StageSeconds(_stages[i], step));
                hops[i] += hop;
                stages[i] += stage;
                // Chunks are sent ahead: what waits for the stage before has crossed by then.
                free[i] = arrived = Math.Max(arrived + hop, free[i]) + stage;
            }

            hops[^1] += HopSeconds(stages.Length, tokens);
            done = arrived + HopSeconds(stages.Length, tokens);
        }

        return new PredictedStep(Milliseconds(stages), Milliseconds(hops), Math.Max(done, MostCoreSeconds(stages)) * 1000);
    }

    /// <summary>What the machine with the least cores for its stages takes for them, where they are too few for all at once.</summary>
    private double MostCoreSeconds(double[] stages) => _stages.Index().GroupBy(pair => pair.Item.Machine)
        .Where(group => IsShort(group.First().Item.Cores, group.Select(pair => pair.Item.Costs.Threads)))
        .Select(group => group.Sum(pair => stages[pair.Index] * CoreShare(pair.Item.Costs.Threads, pair.Item.Cores)))
        .DefaultIfEmpty(0).Max();

    private static double StageSeconds(CostedStage stage, StepShape step) =>
        stage.Costs.StageSeconds(step)
        + Enumerable.Range(stage.First, stage.End - stage.First).Sum(unit => stage.Costs.UnitSeconds(unit, step));

    private double HopSeconds(int hop, int tokens) => _links.Of(
        hop == 0 ? LinkTable.Coordinator : _stages[hop - 1].Worker,
        hop == _stages.Count ? LinkTable.Coordinator : _stages[hop].Worker).Seconds(HopBytes(_config, _model, isInner: hop > 0 && hop < _stages.Count, tokens));

    /// <summary>Whether a machine has too few cores for the threads of all that compute on it at once; not where it does not tell.</summary>
    internal static bool IsShort(int cores, IEnumerable<int> threads) => cores > 0 && threads.Sum() > cores;

    /// <summary>The part of its machine's cores that so many threads compute with, at most all.</summary>
    internal static double CoreShare(int threads, int cores) => Math.Min(1, (double)threads / Math.Max(1, cores));

    /// <summary>Bytes of a step's frame: hidden states between stages, token ids to and from the coordinator.</summary>
    internal static double HopBytes(ClusterConfig config, ModelConfig model, bool isInner, int tokens) =>
        isInner ? HiddenStateCodec.Bytes(config.Wire, tokens, model.HiddenSize) : tokens * (double)sizeof(int);

    private static double[] Milliseconds(double[] seconds) => [.. seconds.Select(second => second * 1000)];
}
