using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary>The layers on workers: the same way that a run's tokens go.</summary>
internal sealed class PipelineLogits : LogitsSource
{
    private readonly Pipeline _pipeline;

    private PipelineLogits(Pipeline pipeline) => _pipeline = pipeline;

    /// <summary>Plans, loads and connects the stages.</summary>
    /// <param name="model">The model; it must stay open.</param>
    /// <param name="config">The cluster; its workers are running.</param>
    /// <param name="progress">Told how far the stages have loaded; null for nobody.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<PipelineLogits> StartAsync(
        ModelFile model, ClusterConfig config, IProgress<LoadingProgress>? progress, CancellationToken cancellation)
    {
        var placement = await ClusterPlan.MakeAsync(model, config, cancellation);
        return new PipelineLogits(await Pipeline.StartAsync(model, config, placement, epoch: 1, progress, cancellation));
    }

    /// <inheritdoc/>
    public override async Task<ReadOnlyMemory<byte>> ComputeAsync(
        int start, ReadOnlyMemory<int> tokens, bool wanted, CancellationToken cancellation)
    {
        var slice = new Slice { Start = start, Count = tokens.Length, AllLogits = wanted };
        var result = await _pipeline.RunAsync([slice], tokens.ToArray(), cancellation);
        return result.Logits.Memory;
    }

    /// <inheritdoc/>
    public override ValueTask DisposeAsync() => _pipeline.DisposeAsync();
}
