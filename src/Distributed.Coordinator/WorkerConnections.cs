using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Coordinator;

/// <summary>How far a stage has loaded.</summary>
/// <param name="Stage">The stage's index.</param>
/// <param name="BytesReady">Bytes of weights ready.</param>
/// <param name="BytesTotal">Bytes of weights in all; 0 until known.</param>
public sealed record LoadingProgress(int Stage, long BytesReady, long BytesTotal);

/// <summary>The connections to the workers of a placement, and the calls that concern a stage as a whole.</summary>
/// <param name="placement">The placement.</param>
/// <param name="connectTimeout">How long a connection may take to come about.</param>
internal sealed class WorkerConnections(Placement placement, TimeSpan connectTimeout) : IDisposable
{
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(10);

    private readonly Dictionary<string, GrpcChannel> _channels = [];
    private readonly Dictionary<string, PeerClock> _clocks = [];

    /// <summary>A client to the worker of a stage.</summary>
    public StageService.StageServiceClient ClientOf(StagePlacement stage)
    {
        lock (_channels)
        {
            var address = stage.Address.ToString();
            if (!_channels.TryGetValue(address, out var channel))
                _channels[address] = channel = NodeChannel.Open(stage.Address, connectTimeout);
            return new StageService.StageServiceClient(channel);
        }
    }

    /// <summary>Compares the workers' clocks with this node's, now and from then on.</summary>
    /// <exception cref="StageFailureException">A worker does not answer.</exception>
    public Task OpenClocksAsync(CancellationToken cancellation) => Task.WhenAll(OnePerWorker().Select(async stage =>
    {
        try
        {
            var clock = await PeerClock.OpenAsync(stage.Address, ClientOf(stage), cancellation);
            lock (_clocks)
            {
                _clocks[stage.Address.ToString()] = clock;
            }
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            throw StageFailureException.From(error, FailureCode.HopLost, stage.Worker, stage.Index);
        }
    }));

    /// <summary>The clock of a stage's worker, once <see cref="OpenClocksAsync"/> has ended.</summary>
    public PeerClock ClockOf(StagePlacement stage) => _clocks[stage.Address.ToString()];

    /// <summary>Loads one stage.</summary>
    /// <returns>The worker's own account of the stage's memory.</returns>
    /// <exception cref="StageFailureException">The worker cannot be reached or refuses the stage.</exception>
    public async Task<StageMemory> LoadAsync(
        LoadRequest request, StagePlacement stage, IProgress<LoadingProgress>? progress, CancellationToken cancellation)
    {
        try
        {
            using var call = ClientOf(stage).Load(request, cancellationToken: cancellation);
            await foreach (var update in call.ResponseStream.ReadAllAsync(cancellation))
            {
                if (update.Failure is { } failure)
                    throw new StageFailureException(failure);
                if (update.Loaded is { } loaded)
                {
                    progress?.Report(new LoadingProgress(stage.Index, update.BytesTotal, update.BytesTotal));
                    return new StageMemory(loaded.Weights, loaded.LmHead, loaded.KvCache, loaded.Activations, loaded.Scratch);
                }

                progress?.Report(new LoadingProgress(stage.Index, update.BytesReady, update.BytesTotal));
            }
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            throw StageFailureException.From(error, FailureCode.HopLost, stage.Worker, stage.Index);
        }

        throw new StageFailureException(FailureCode.HopLost, "stopped loading without a word", stage.Worker, stage.Index);
    }

    /// <summary>Asks every worker what the KV cache of its stages holds; one entry per stage, in order.</summary>
    /// <exception cref="StageFailureException">A worker does not answer.</exception>
    public async Task<IReadOnlyList<StageKv>> ReportKvAsync(string pipeline, CancellationToken cancellation)
    {
        var reports = new List<StageKv>();
        foreach (var stage in OnePerWorker())
        {
            try
            {
                var report = await ClientOf(stage).ReportKvAsync(
                    new KvRequest { Pipeline = pipeline }, deadline: DateTime.UtcNow + CallTimeout, cancellationToken: cancellation);
                reports.AddRange(report.Stages);
            }
            catch (RpcException error)
            {
                cancellation.ThrowIfCancellationRequested();
                throw StageFailureException.From(error, FailureCode.HopLost, stage.Worker, stage.Index);
            }
        }

        return [.. reports.OrderBy(report => report.Stage)];
    }

    /// <summary>Unloads the pipeline's stages on every worker that answers.</summary>
    public Task UnloadAsync(string pipeline) => Task.WhenAll(OnePerWorker().Select(async stage =>
    {
        try
        {
            await ClientOf(stage).UnloadAsync(new UnloadRequest { Pipeline = pipeline }, deadline: DateTime.UtcNow + CallTimeout);
        }
        catch (RpcException)
        {
            // A worker that is gone has nothing left to unload.
        }
    }));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var clock in _clocks.Values)
            clock.Dispose();
        foreach (var channel in _channels.Values)
            channel.Dispose();
    }

    private IEnumerable<StagePlacement> OnePerWorker() => placement.Stages.DistinctBy(stage => stage.Address.ToString());
}
