using System.Diagnostics;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;

namespace Distributed.Coordinator;

// How a coordinator that was started again comes to the stages that the one before it has left.
public sealed partial class Pipeline
{
    // No stage knows a sequence of that number.
    private const long NoSequence = 0;
    private static readonly TimeSpan BusyInterval = TimeSpan.FromMilliseconds(50);

    /// <summary>Connects stages that are loaded already, and waits for what was under way in them.</summary>
    /// <param name="model">The model.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="placement">Where the stages are.</param>
    /// <param name="name">The pipeline's name.</param>
    /// <param name="epoch">Its epoch.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The pipeline, and what its stages hold, with the tokens of each sequence.</returns>
    /// <exception cref="StageFailureException">
    /// A stage is gone, or not what would be loaded there today; those that are left have been unloaded.
    /// </exception>
    internal static async Task<(Pipeline Pipeline, IReadOnlyList<StageKv> Held)> TakeOverAsync(
        ModelFile model, ClusterConfig config, Placement placement, string name, long epoch, CancellationToken cancellation)
    {
        var pipeline = new Pipeline(placement, epoch, config, name);
        try
        {
            var loads = await pipeline._workers.ReportKvAsync(new KvRequest { Pipeline = name, WantLoads = true }, cancellation);
            foreach (var stage in placement.Stages)
            {
                var load = loads.FirstOrDefault(load => load.Stage == stage.Index)?.Load;
                if (load is null || !load.Equals(pipeline.RequestFor(stage, model, config, null)))
                    throw new StageFailureException(
                        FailureCode.UnknownStage, load is null ? "has not got the stage any more" : "has another stage than would be loaded now",
                        stage.Worker, stage.Index);
            }

            pipeline.Memory = [.. loads.Select(load => load.Memory).Select(memory =>
                new StageMemory(memory.Weights, memory.LmHead, memory.KvCache, memory.Activations, memory.Scratch))];
            await Task.WhenAll(placement.Stages.Select(stage => pipeline.WatchAsync(stage, cancellation)));
            await pipeline.ConnectAgainAsync(model, config.ConnectTimeout, cancellation);
            pipeline.WatchPulses();
            // It comes back when all is through that the coordinator before this one had sent.
            await pipeline.ReleaseAsync([NoSequence], cancellation);
            return (pipeline, await pipeline._workers.ReportKvAsync(new KvRequest { Pipeline = name, WantTokens = true }, cancellation));
        }
        catch
        {
            await pipeline.DisposeAsync();
            throw;
        }
    }

    // The stream of the coordinator before this one may not have ended on every stage yet.
    private async Task ConnectAgainAsync(ModelFile model, TimeSpan patience, CancellationToken cancellation)
    {
        for (var started = Stopwatch.GetTimestamp(); ; await Task.Delay(BusyInterval, cancellation))
        {
            try
            {
                await ConnectAsync(model, cancellation);
                return;
            }
            catch (StageFailureException error)
                when (error.Failure.Code == FailureCode.StageBusy && Stopwatch.GetElapsedTime(started) < patience && !Failed.IsCompleted)
            {
            }
        }
    }
}
