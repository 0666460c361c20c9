using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Grains;
using Grpc.Core;

namespace Distributed.Coordinator.Recovery;

/// <summary>The stages that the coordinator before this one has left on the workers.</summary>
/// <param name="record">Its last placement.</param>
/// <param name="config">The cluster.</param>
internal sealed class LeftStages(PipelineRecord record, ClusterConfig config)
{
    private IReadOnlyList<StageKv> _found = [];

    /// <summary>Asks the workers for them.</summary>
    /// <returns>Whether all are there.</returns>
    public async Task<bool> FindAsync(CancellationToken cancellation)
    {
        var answers = await Task.WhenAll(Workers().Select(worker => CallAsync(
            worker,
            client => client.ReportKvAsync(
                new KvRequest { Pipeline = record.Name, WantLoads = true }, deadline: Deadline, cancellationToken: cancellation),
            cancellation)));
        _found = [.. answers.OfType<KvReport>().SelectMany(answer => answer.Stages).Where(stage => stage.Epoch == record.Epoch)];
        return record.Stages.Length > 0
            && record.Stages.Select((_, index) => index).SequenceEqual(_found.Select(stage => stage.Stage).Order());
    }

    /// <summary>What workers say of themselves, without what the stages take that were found.</summary>
    public ClusterSurvey Without(ClusterSurvey survey)
    {
        foreach (var stage in _found)
        {
            var worker = record.Stages.ElementAtOrDefault(stage.Stage)?.Worker;
            if (worker is null || stage.Memory is not { } memory || !survey.Workers.TryGetValue(worker, out var description))
                continue;
            if (description.Devices.FirstOrDefault(device => device.Name == stage.Device) is { } device)
                device.MemoryUsed -= memory.Weights + memory.LmHead + memory.KvCache + memory.Activations + memory.Scratch;
        }

        return survey;
    }

    /// <summary>Unloads them, wherever a worker answers; on one that does not they end with its lease.</summary>
    public Task UnloadAsync(CancellationToken cancellation) => Task.WhenAll(Workers().Select(worker => CallAsync(
        worker,
        client => client.UnloadAsync(new UnloadRequest { Pipeline = record.Name, Term = config.Term }, deadline: Deadline, cancellationToken: cancellation),
        cancellation)));

    private DateTime Deadline => DateTime.UtcNow + config.FailureTimeout;

    private IEnumerable<PipelineStage> Workers() => record.Stages.DistinctBy(stage => stage.Address);

    private async Task<T?> CallAsync<T>(
        PipelineStage stage, Func<StageService.StageServiceClient, AsyncUnaryCall<T>> call, CancellationToken cancellation)
        where T : class
    {
        if (NodeAddress.TryParse(stage.Address) is not { } address)
            return null;
        using var channel = NodeChannel.Open(address, config.FailureTimeout, config.LinkOf(stage.Worker), config.PeerOf(stage.Worker));
        try
        {
            return await call(new StageService.StageServiceClient(channel));
        }
        catch (RpcException)
        {
            cancellation.ThrowIfCancellationRequested();
            return null;
        }
    }
}
