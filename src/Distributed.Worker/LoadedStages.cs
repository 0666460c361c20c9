using System.Collections.Concurrent;
using Distributed.Cluster;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Engine;
using Distributed.Worker.Weights;
using Microsoft.Extensions.Hosting;

namespace Distributed.Worker;

/// <summary>The stages on this worker, by pipeline and index. A stage nobody watches for a while is unloaded.</summary>
/// <param name="options">The worker's options.</param>
/// <param name="devices">Its devices.</param>
/// <param name="copies">Where models come from.</param>
public sealed class LoadedStages(WorkerOptions options, DeviceInventory devices, ModelCopies copies) : BackgroundService
{
    private const int MaxStages = 64;

    private readonly ConcurrentDictionary<(string Pipeline, int Stage), StageRunner> _stages = new();
    private readonly KeyedTurns<(string Pipeline, int Stage)> _loading = new();
    // Stages are read one after the other, which disks like better; weights come over the wire for several at a time.
    private readonly SemaphoreSlim _reading = new(1, 1);

    /// <summary>Where the coordinator's streams of weights arrive.</summary>
    public PendingSupplies Supplies => copies.Supplies;

    /// <summary>All stages.</summary>
    public IEnumerable<StageRunner> All => _stages.Values;

    /// <summary>Loads a stage as the request says, in place of one of the same pipeline and index.</summary>
    /// <param name="request">The request, unchecked.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="cancellation">Gives up and frees what was taken.</param>
    /// <exception cref="StageFailureException">It cannot be loaded; the code says why.</exception>
    public async Task<StageRunner> LoadAsync(LoadRequest request, StageLoading progress, CancellationToken cancellation)
    {
        var owned = new List<IDisposable>();
        using var turn = await _loading.TakeAsync((request.Pipeline, request.Stage), cancellation);
        try
        {
            await RemoveOldAsync(request);
            var runner = await Task.Run(() => LoadAsync(request, progress, owned, cancellation), cancellation);
            if (cancellation.IsCancellationRequested)
            {
                // Nobody would ever ask to unload it.
                await runner.DisposeAsync();
                throw new OperationCanceledException(cancellation);
            }

            _stages[(request.Pipeline, request.Stage)] = runner;
            return runner;
        }
        catch (Exception error)
        {
            foreach (var item in owned)
                item.Dispose();
            throw error switch
            {
                InvalidInputException => Fail(request, FailureCode.ModelUnreadable, error.Message, error),
                IOException or UnauthorizedAccessException => Fail(request, FailureCode.ModelUnreadable, error.Message, error),
                DeviceFullException => Fail(request, FailureCode.OutOfMemory, error.Message, error),
                OutOfMemoryException => Fail(request, FailureCode.OutOfMemory, "the system has no memory left for the stage", error),
                _ => error,
            };
        }
    }

    /// <summary>The stage of that pipeline and index.</summary>
    /// <exception cref="StageFailureException">There is none.</exception>
    public StageRunner Find(string pipeline, int stage) =>
        _stages.TryGetValue((pipeline, stage), out var runner)
            ? runner
            : throw new StageFailureException(FailureCode.UnknownStage, $"there is no stage {stage} of pipeline {pipeline} here", options.Name, stage);

    /// <summary>Frees all stages of a pipeline; gives their number.</summary>
    /// <param name="pipeline">The pipeline.</param>
    /// <param name="term">The term of the coordinator that wants it: those that follow one of a later term stay.</param>
    public async Task<int> UnloadAsync(string pipeline, long term = long.MaxValue)
    {
        var count = 0;
        foreach (var (key, _) in _stages.Where(pair => pair.Key.Pipeline == pipeline && pair.Value.Term <= term))
        {
            if (!_stages.TryRemove(key, out var runner))
                continue;
            await runner.DisposeAsync();
            count++;
        }

        return count;
    }

    /// <inheritdoc/>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        foreach (var runner in _stages.Values)
        {
            var stopping = runner.Identity.Fail(FailureCode.WorkerStopping, "the worker is shutting down");
            await runner.Watch.PublishAsync(new StageEvent { Failure = stopping.Failure }, cancellationToken);
        }

        // A step that takes long must not keep the process: its memory goes with it.
        foreach (var pipeline in _stages.Keys.Select(key => key.Pipeline).Distinct())
            await UnloadAsync(pipeline).WaitAsync(cancellationToken);
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(Math.Clamp(options.WatchLease.TotalSeconds / 4, 0.1, 5)));
        while (await timer.WaitForNextTickAsync(stoppingToken).AsTask().ContinueWith(tick => tick.IsCompletedSuccessfully && tick.Result, TaskScheduler.Default))
        {
            foreach (var (key, runner) in _stages)
            {
                if (runner.Watch.Unwatched <= (runner.Lease ?? options.WatchLease) || !_stages.TryRemove(new(key, runner)))
                    continue;
                try
                {
                    await runner.DisposeAsync();
                }
#pragma warning disable CA1031 // One stage that does not end well must not keep the others for ever.
                catch (Exception error)
#pragma warning restore CA1031
                {
                    await Console.Error.WriteLineAsync($"stage {key.Stage} of pipeline {key.Pipeline} did not unload: {error.Message}");
                }
            }
        }
    }

    private async Task RemoveOldAsync(LoadRequest request)
    {
        StageIdentity.CheckVersion(request.ProtocolVersion, "the coordinator", NameFor(request), request.Stage);
        if (NodeAddress.TryParse(request.NextAddress) is { } next && options.WhyNotDialed(next, request.NextWorker) is { } reason)
            throw Fail(request, FailureCode.NotTrusted, reason);
        if (_stages.TryGetValue((request.Pipeline, request.Stage), out var old))
        {
            if (old.Identity.Epoch > request.Epoch)
                old.Identity.CheckEpoch(request.Epoch, "the coordinator");
            _stages.TryRemove((request.Pipeline, request.Stage), out _);
            await old.DisposeAsync();
        }

        // Those that are being loaded, this one among them, will be there soon.
        var stages = _stages.Keys.Union(_loading.Keys).Count();
        if (stages > MaxStages)
            throw Fail(request, FailureCode.OutOfMemory, $"this worker holds {stages - 1} stages, at most {MaxStages}");
    }

    private async Task<StageRunner> LoadAsync(
        LoadRequest request, StageLoading progress, List<IDisposable> owned, CancellationToken cancellation)
    {
        var device = devices.Find(request.Device, NameFor(request), request.Stage);
        // What a measurement has taken meanwhile it gives back, and it must not measure the load.
        await device.WhenMeasured.WaitAsync(cancellation);
        StageSpec? spec = null;
        var copy = await copies.OpenAsync(request, NameFor(request), model => spec ??= Reserve(model), progress.Report, cancellation);
        // Before the reservation: that ends when nothing of the stage is left.
        owned.Insert(0, copy);
        progress.BytesReceived = copy.BytesReceived;
        var backend = device.CreateBackend();
        owned.Insert(0, backend);
        await _reading.WaitAsync(cancellation);
        Stage stage;
        try
        {
            stage = Stage.Load(copy.Model, backend, spec!, progress, cancellation);
        }
        finally
        {
            _reading.Release();
        }

        var identity = new StageIdentity(
            request.Pipeline, request.Epoch, request.Stage, request.NumStages, NameFor(request), request.ModelHash.ToByteArray(),
            StageRequest.WireOf(request)!.Value);
        var next = identity.IsLast ? null : NodeAddress.Parse("next_address", request.NextAddress);
        var peer = next is null || options.Certificates is not { } own ? null : new NodePeer(own, request.NextWorker);
        // Names are unique in a cluster: the worker of that name is this one.
        Func<StageRunner>? nextHere = next is null || request.NextWorker is "" || request.NextWorker != request.Worker
            ? null
            : () => Find(request.Pipeline, request.Stage + 1);
        var kept = request.Clone();
        kept.Model = null;
        return new StageRunner(identity, stage, device.Name, next, LinkShape.Parse("next_link", request.NextLink),
            request.FailureTimeoutMs > 0 ? TimeSpan.FromMilliseconds(request.FailureTimeoutMs) : null, peer, nextHere, owned)
        {
            Request = kept,
            Lease = request.LeaseMs > 0 ? TimeSpan.FromMilliseconds(request.LeaseMs) : null,
        };

        StageSpec Reserve(ModelFile model)
        {
            var wanted = StageRequest.ToSpec(request, model.Config, NameFor(request));
            var forecast = StageMemoryForecast.Forecast(model, wanted);
            owned.Insert(0, device.Reserve(forecast.Total, NameFor(request), request.Stage));
            progress.BytesTotal = forecast.Weights + forecast.LmHead;
            return wanted;
        }
    }

    private StageFailureException Fail(LoadRequest request, FailureCode code, string message, Exception? inner = null) =>
        new(code, message, NameFor(request), request.Stage, inner);

    private string NameFor(LoadRequest request) => request.Worker is "" ? options.Name : request.Worker;
}
