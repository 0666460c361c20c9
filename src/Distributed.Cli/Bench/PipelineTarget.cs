using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Coordinator;
using Distributed.Coordinator.Scheduling;
using Distributed.Core;
using Distributed.Core.Sampling;

namespace Distributed.Cli.Bench;

/// <summary>
/// The layers on worker processes of its own, and requests to a scheduler: the same way that a run's tokens go, sampling included.
/// Several steps are on their way, and sequences share them, as the scheduler has it.
/// </summary>
internal sealed class PipelineTarget : BenchTarget
{
    private static readonly SamplingOptions Greedy = new() { Temperature = 0 };

    private readonly LocalWorkers _workers;
    private readonly Pipeline _pipeline;
    private readonly Scheduler _scheduler;
    private readonly ClusterConfig _config;
    private readonly int _vocabulary;
    private readonly int _hiddenSize;
    private readonly Random _random = new(1);
    private readonly Dictionary<int, int[]> _held = [];
    private readonly HopTimes _hops;

    private PipelineTarget(LocalWorkers workers, Pipeline pipeline, ClusterConfig config, ModelConfig model)
    {
        (_workers, _pipeline, _config, _vocabulary, _hiddenSize) = (workers, pipeline, config, model.VocabSize, model.HiddenSize);
        _hops = new HopTimes([.. pipeline.Placement.Stages.Select(stage => stage.Worker)]);
        _scheduler = new Scheduler(pipeline, config, isEnd: _ => false, changed: (_, _) => { });
    }

    /// <inheritdoc/>
    public override StageMemory Memory => _pipeline.Memory.Aggregate(default(StageMemory), (sum, stage) => new StageMemory(
        sum.Weights + stage.Weights, sum.LmHead + stage.LmHead, sum.KvCache + stage.KvCache, sum.Activations + stage.Activations,
        sum.Scratch + stage.Scratch));

    /// <inheritdoc/>
    public override long Forecast => _pipeline.Placement.Stages.Sum(stage => stage.Memory.Total);

    /// <summary>Starts the workers and loads the model on them.</summary>
    /// <param name="model">The model; a file, which the workers open too.</param>
    /// <param name="config">Context, KV type, batch and sequences; the workers are not in it.</param>
    /// <param name="workers">How many.</param>
    /// <param name="threads">Threads of each; 0 for a device that has none to choose.</param>
    /// <param name="device">The device that each computes on.</param>
    /// <param name="memory">What each may take, in bytes.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<PipelineTarget> StartAsync(
        ModelFile model, ClusterConfig config, int workers, int threads, string device, long memory, CancellationToken cancellation)
    {
        var local = await LocalWorkers.StartAsync(
            [.. Enumerable.Repeat(threads == 0 ? (int?)null : threads, workers)], new Dictionary<string, long> { [device] = memory }, null, null,
            cancellation);
        try
        {
            config = config with
            {
                SplitOverAll = true,
                Workers = [.. local.Workers.Select(worker => new WorkerConfig { Name = worker.Name, Address = worker.Address })],
            };
            var placement = await ClusterPlan.MakeAsync(model, config, cancellation);
            var pipeline = await Pipeline.StartAsync(model, config, placement, epoch: 1, progress: null, cancellation);
            return new PipelineTarget(local, pipeline, config, model.Config);
        }
        catch
        {
            await local.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public override async Task PrepareAsync(int sequence, int depth, CancellationToken cancellation)
    {
        _held[sequence] = Tokens(depth);
        if (depth > 0)
            await GenerateAsync(sequence, _held[sequence], 1, cancellation);
    }

    /// <inheritdoc/>
    public override IReadOnlyList<HopRow> TakeHops(BenchTest test)
    {
        var stages = _pipeline.Placement.Stages.Count;
        var tokens = test.Kind == TestKind.Prefill ? _pipeline.ChunkFor(test.Tokens) : (test.Sequences + stages - 1) / stages;
        var hidden = HiddenStateCodec.Bytes(_config.Wire, tokens, _hiddenSize);
        lock (_hops)
        {
            return [.. _hops.Take().Select((hop, index) => hop with { Bytes = index > 0 && index < stages ? hidden : tokens * sizeof(int) })];
        }
    }

    /// <inheritdoc/>
    public override Task PrefillAsync(int depth, int tokens, CancellationToken cancellation) =>
        GenerateAsync(0, [.. _held[0], .. Tokens(tokens)], 1, cancellation);

    /// <inheritdoc/>
    public override Task DecodeAsync(int sequences, int depth, int tokens, CancellationToken cancellation) =>
        // One token more than is held: every token drawn is one token computed.
        Task.WhenAll(Enumerable.Range(0, sequences).Select(sequence =>
            GenerateAsync(sequence, [.. _held[sequence], .. Tokens(1)], tokens, cancellation)));

    /// <inheritdoc/>
    public override async Task ReleaseAsync(int sequences, CancellationToken cancellation)
    {
        for (var sequence = 0; sequence < sequences; sequence++)
            await _scheduler.EndSessionAsync(NameOf(sequence));
    }

    /// <inheritdoc/>
    public override long PeakResident() => _workers.Workers.Sum(worker => ProcessMemory.Peak(worker.Process.Id));

    /// <inheritdoc/>
    public override async Task<IReadOnlyList<WorkerAccount>> AccountAsync(CancellationToken cancellation)
    {
        var stages = _pipeline.Placement.Stages.Zip(_pipeline.Memory, (stage, taken) => (Stage: stage, Taken: taken.Total)).ToList();
        var described = await ClusterSurvey.DescribeAsync(_config, cancellation);
        return
        [
            .. stages.GroupBy(pair => pair.Stage.Worker).Where(group => described.ContainsKey(group.Key)).Select(group =>
            {
                var (device, memory) = (described[group.Key].Devices[0], described[group.Key].Memory);
                return new WorkerAccount(
                    group.Key,
                    string.Join(", ", group.Select(pair => new LayerRange(pair.Stage.Spec.FirstLayer, pair.Stage.Spec.EndLayer - 1))),
                    device.MemoryLimit,
                    group.Sum(pair => pair.Stage.Memory.Total),
                    group.Sum(pair => pair.Taken),
                    memory.Managed,
                    memory.Resident,
                    memory.PeakResident);
            }),
        ];
    }

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await _scheduler.DisposeAsync();
        await _pipeline.DisposeAsync();
        await _workers.DisposeAsync();
    }

    // The session keeps what was computed, so that the next request with the same beginning computes only what is new.
    private async Task GenerateAsync(int sequence, int[] prompt, int tokens, CancellationToken cancellation)
    {
        var request = new GenerationRequest
        {
            Tokens = prompt,
            Sampling = Greedy,
            MaxTokens = tokens,
            Session = NameOf(sequence),
            IgnoreEnd = true,
        };
        await foreach (var token in _scheduler.Generate(request, cancellation))
        {
            lock (_hops)
            {
                _hops.Add(token.Step);
            }
        }
    }

    private static string NameOf(int sequence) => $"bench-{sequence}";

    private int[] Tokens(int count)
    {
        var tokens = new int[count];
        foreach (ref var token in tokens.AsSpan())
            token = _random.Next(_vocabulary);
        return tokens;
    }
}
