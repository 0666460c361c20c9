using System.Collections.Concurrent;
using System.Diagnostics;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Coordinator.Weights;
using Distributed.Core;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Coordinator;

/// <summary>How far a stage has loaded.</summary>
/// <param name="Stage">The stage's index.</param>
/// <param name="BytesReady">Bytes of weights ready.</param>
/// <param name="BytesTotal">Bytes of weights in all; 0 until known.</param>
/// <param name="BytesReceived">Bytes sent to a worker that has not got them.</param>
/// <param name="BytesToReceive">Bytes to send in all; 0 where there are none, or until known.</param>
public sealed record LoadingProgress(int Stage, long BytesReady, long BytesTotal, long BytesReceived = 0, long BytesToReceive = 0);

/// <summary>The connections to the workers of a placement, and the calls that concern a stage as a whole.</summary>
/// <param name="placement">The placement.</param>
/// <param name="config">How long a connection may take to come about, and what links are made to be.</param>
internal sealed class WorkerConnections(Placement placement, ClusterConfig config) : IDisposable
{
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(10);

    // A worker that broke off while weights were sent to it may come back: it has kept what it got.
    private static readonly TimeSpan ResumePatience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan ResumeInterval = TimeSpan.FromSeconds(1);

    private readonly Dictionary<string, GrpcChannel> _channels = [];
    private readonly Dictionary<string, PeerClock> _clocks = [];
    private readonly ConcurrentDictionary<StagePlacement, bool> _sending = new();

    /// <summary>A client to the worker of a stage.</summary>
    public StageService.StageServiceClient ClientOf(StagePlacement stage)
    {
        lock (_channels)
        {
            var address = stage.Address.ToString();
            if (!_channels.TryGetValue(address, out var channel))
                _channels[address] = channel = NodeChannel.Open(stage.Address, config.ConnectTimeout, config.LinkOf(stage.Worker), config.PeerOf(stage.Worker));
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

    /// <summary>Whether a stage of a worker gets its weights over the wire now, or waits for them to go on.</summary>
    public bool IsSendingTo(string worker) => _sending.Keys.Any(stage => stage.Worker == worker);

    /// <summary>Loads one stage, and sends the worker what it lacks of the weights. A transfer that breaks is taken up again.</summary>
    /// <param name="request">The stage.</param>
    /// <param name="stage">Where it goes.</param>
    /// <param name="source">The weights.</param>
    /// <param name="progress">Told now and then how far it is; null for nobody.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The worker's own account of the stage's memory.</returns>
    /// <exception cref="StageFailureException">The worker cannot be reached or refuses the stage.</exception>
    public async Task<StageMemory> LoadAsync(
        LoadRequest request, StagePlacement stage, WeightSource source, IProgress<LoadingProgress>? progress, CancellationToken cancellation)
    {
        // While weights are being sent: since when none has arrived.
        Stopwatch? sending = null;
        var received = 0L;
        try
        {
            while (true)
            {
                try
                {
                    return await LoadOnceAsync(request, stage, source, Observe, cancellation);
                }
                catch (StageFailureException error) when (
                    // It was trusted when weights began to be sent: a door shut since then is that of a proxy whose worker is gone.
                    error.Failure.Code
                        is FailureCode.HopLost or FailureCode.WeightsUnavailable or FailureCode.WorkerStopping or FailureCode.NotTrusted
                    && sending?.Elapsed < ResumePatience)
                {
                    received = 0;
                    await Task.Delay(ResumeInterval, cancellation);
                }
            }
        }
        finally
        {
            _sending.TryRemove(stage, out _);
        }

        void Observe(LoadingProgress update, bool wantsWeights)
        {
            if (wantsWeights)
                _sending[stage] = true;
            if (wantsWeights && (sending is null || update.BytesReceived != received))
                sending = Stopwatch.StartNew();
            received = update.BytesReceived;
            progress?.Report(update);
        }
    }

    private async Task<StageMemory> LoadOnceAsync(
        LoadRequest request, StagePlacement stage, WeightSource source, Action<LoadingProgress, bool> observe, CancellationToken cancellation)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task? supplying = null;
        StageFailureException? failed = null;
        try
        {
            using var call = ClientOf(stage).Load(request, cancellationToken: cancellation);
            await foreach (var update in call.ResponseStream.ReadAllAsync(cancellation))
            {
                if (update.WantsWeights)
                    supplying ??= source.SupplyAsync(ClientOf(stage), request, ending.Token);
                if (update.Failure is { } failure)
                    throw new StageFailureException(failure);
                if (update.Loaded is { } loaded)
                {
                    observe(new LoadingProgress(stage.Index, update.BytesTotal, update.BytesTotal), false);
                    return new StageMemory(loaded.Weights, loaded.LmHead, loaded.KvCache, loaded.Activations, loaded.Scratch);
                }

                observe(
                    new LoadingProgress(stage.Index, update.BytesReady, update.BytesTotal, update.BytesReceived, update.BytesToReceive),
                    update.WantsWeights);
            }
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            failed = StageFailureException.From(error, FailureCode.HopLost, stage.Worker, stage.Index);
        }
        catch (StageFailureException error)
        {
            failed = error;
        }
        finally
        {
            // A supply that had failed by itself knows more than the worker, which only sees that nothing comes.
            var reason = supplying is { IsFaulted: true } ? WhyFailed(supplying.Exception!.InnerException!, stage) : null;
            await ending.CancelAsync();
            if (supplying is not null)
                await supplying.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (reason is not null && failed?.Failure.Code is FailureCode.WeightsUnavailable or FailureCode.HopLost)
                failed = new StageFailureException(failed.Failure.Code, $"{failed.Failure.Message}; {reason}", stage.Worker, stage.Index, failed);
        }

        throw failed ?? new StageFailureException(FailureCode.HopLost, "stopped loading without a word", stage.Worker, stage.Index);
    }

    private static string WhyFailed(Exception error, StagePlacement stage) => error is RpcException rpc
        ? StageFailureException.From(rpc, FailureCode.WeightsUnavailable, stage.Worker).Failure.Message
        : $"sending the weights failed: {error.Message}";

    /// <summary>Asks every worker what the KV cache of its stages holds; one entry per stage, in order.</summary>
    /// <exception cref="StageFailureException">A worker does not answer.</exception>
    public async Task<IReadOnlyList<StageKv>> ReportKvAsync(KvRequest request, CancellationToken cancellation)
    {
        var reports = await Task.WhenAll(OnePerWorker().Select(async stage =>
        {
            try
            {
                return await ClientOf(stage).ReportKvAsync(request, deadline: DateTime.UtcNow + CallTimeout, cancellationToken: cancellation);
            }
            catch (RpcException error)
            {
                cancellation.ThrowIfCancellationRequested();
                throw StageFailureException.From(error, FailureCode.HopLost, stage.Worker, stage.Index);
            }
        }));
        return [.. reports.SelectMany(report => report.Stages).OrderBy(report => report.Stage)];
    }

    /// <summary>Has a stage take the KV cache of sequences over; bytes.</summary>
    /// <exception cref="StageFailureException">It did not come within the time, or there is no room for it; the stage is as it was.</exception>
    public async Task<long> MoveKvAsync(StagePlacement stage, MoveKvRequest request, TimeSpan patience, CancellationToken cancellation)
    {
        try
        {
            // The worker's own patience ends first, unless it is gone.
            request.PatienceMs = (int)patience.TotalMilliseconds;
            return (await ClientOf(stage).MoveKvAsync(
                request, deadline: DateTime.UtcNow + patience + CallTimeout, cancellationToken: cancellation)).Bytes;
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            throw StageFailureException.From(error, FailureCode.HopLost, stage.Worker, stage.Index);
        }
    }

    /// <summary>Unloads the pipeline's stages on every worker that answers.</summary>
    public Task UnloadAsync(string pipeline) => UnloadAsync(pipeline, null, CallTimeout);

    /// <summary>The same, without waiting for one worker, and for the others only so long.</summary>
    public Task UnloadAsync(string pipeline, string? except, TimeSpan patience) => Task.WhenAll(OnePerWorker().Select(async stage =>
    {
        if (stage.Worker == except)
            return;
        try
        {
            await ClientOf(stage).UnloadAsync(new UnloadRequest { Pipeline = pipeline, Term = config.Term }, deadline: DateTime.UtcNow + patience);
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
