using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Coordinator.Weights;
using Distributed.Core;

namespace Distributed.Coordinator;

// How the stages come onto their workers.
public sealed partial class Pipeline
{
    private async Task<StageMemory[]> LoadAsync(
        ModelFile model, ClusterConfig config, IProgress<LoadingProgress>? progress, CancellationToken cancellation)
    {
        using var source = new WeightSource(model);
        using var refused = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var loading = Placement.Stages.Select(LoadAndWatchAsync).ToList();
        // Once one stage is refused, the others need not go on reading their weights.
        await foreach (var stage in Task.WhenEach(loading))
        {
            if (!stage.IsCompletedSuccessfully)
                await refused.CancelAsync();
        }

        BytesSent = source.BytesSent;
        var failed = loading.Where(stage => stage.IsFaulted).ToList();
        return failed.Count == 0 ? await Task.WhenAll(loading) : throw failed[0].Exception!.InnerException!;

        async Task<StageMemory> LoadAndWatchAsync(StagePlacement stage)
        {
            var heard = new HeardProgress(this, stage, progress);
            var memory = await _workers.LoadAsync(RequestFor(stage, model, config, source.Outline), stage, source, heard, refused.Token);
            // At once: a worker keeps a stage that nobody watches for a while only.
            await WatchAsync(stage, refused.Token);
            return memory;
        }
    }

    private LoadRequest RequestFor(StagePlacement stage, ModelFile model, ClusterConfig config, ModelOutline? outline) => new()
    {
        ProtocolVersion = ProtocolVersion.Current,
        Pipeline = Name,
        Epoch = Epoch,
        Stage = stage.Index,
        NumStages = Placement.Stages.Count,
        ModelPath = stage.ModelPath,
        ModelHash = Google.Protobuf.ByteString.CopyFrom(model.Hash),
        Device = stage.Device,
        FirstLayer = stage.Spec.FirstLayer,
        EndLayer = stage.Spec.EndLayer,
        Context = config.ContextFor(model.Config),
        MaxBatchTokens = stage.Spec.MaxBatchTokens,
        KvType = stage.Spec.KvType.ToName(),
        KvBlocks = stage.Spec.KvBlocks,
        Worker = stage.Worker,
        Wire = config.Wire.ToName(),
        NextLink = stage.Spec.HasHead ? "" : $"{config.LinkBetween(stage.Worker, Placement.Stages[stage.Index + 1].Worker)}",
        Model = outline,
        NextAddress = stage.Spec.HasHead ? "" : Placement.Stages[stage.Index + 1].Address.ToString(),
        NextWorker = stage.Spec.HasHead ? "" : Placement.Stages[stage.Index + 1].Worker,
        FailureTimeoutMs = (int)config.FailureTimeout.TotalMilliseconds,
        LeaseMs = (long)config.Lease.TotalMilliseconds,
        Led = config.Term > 0,
    };

    // Who reports how far it has loaded is alive.
    private sealed class HeardProgress(Pipeline pipeline, StagePlacement stage, IProgress<LoadingProgress>? onward) : IProgress<LoadingProgress>
    {
        public void Report(LoadingProgress value)
        {
            pipeline.Seen(stage);
            onward?.Report(value);
        }
    }
}
