using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator;
using Distributed.Core;
using Distributed.Core.Sampling;
using Distributed.Engine.KvCache;

namespace Distributed.Cli.Bench;

/// <summary>The layers on worker processes of its own: the same way that a run's tokens go, sampling included.</summary>
internal sealed class PipelineTarget : BenchTarget
{
    private static readonly Sampling Greedy = new SamplingOptions { Temperature = 0 }.ToMessage([]);

    private readonly LocalWorkers _workers;
    private readonly Pipeline _pipeline;

    private PipelineTarget(LocalWorkers workers, Pipeline pipeline) => (_workers, _pipeline) = (workers, pipeline);

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
    /// <param name="threads">Threads of each.</param>
    /// <param name="memory">What each may take, in bytes.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<PipelineTarget> StartAsync(
        ModelFile model, ClusterConfig config, int workers, int threads, long memory, CancellationToken cancellation)
    {
        var local = await LocalWorkers.StartAsync(workers, threads, memory, null, cancellation);
        try
        {
            config = config with
            {
                SplitOverAll = true,
                Workers = [.. local.Workers.Select(worker => new WorkerConfig { Name = worker.Name, Address = worker.Address })],
            };
            var placement = await ClusterPlan.MakeAsync(model, config, cancellation);
            return new PipelineTarget(local, await Pipeline.StartAsync(model, config, placement, epoch: 1, progress: null, cancellation));
        }
        catch
        {
            await local.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public override async Task StepAsync(SequenceSlice[] slices, ReadOnlyMemory<int> tokens, bool outputs, CancellationToken cancellation)
    {
        var messages = Array.ConvertAll(slices, slice => new Slice
        {
            Sequence = slice.Sequence,
            Start = slice.Start,
            Count = slice.Count,
            Sampling = outputs ? Greedy : null,
        });
        await _pipeline.RunAsync(messages, tokens.ToArray(), cancellation);
    }

    /// <inheritdoc/>
    public override Task ReleaseAsync(int sequences, CancellationToken cancellation) =>
        _pipeline.ReleaseAsync([.. Enumerable.Range(0, sequences).Select(sequence => (long)sequence)], cancellation);

    /// <inheritdoc/>
    public override long PeakResident() => _workers.Workers.Sum(worker => ProcessMemory.Peak(worker.Process.Id));

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await _pipeline.DisposeAsync();
        await _workers.DisposeAsync();
    }
}
