using Distributed.Cluster;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Worker.Profiling;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Hosting;

namespace Distributed.Worker;

/// <summary>The gRPC boundary of a worker: calls in, <see cref="StageFailureException"/> out as gRPC errors that carry it.</summary>
/// <param name="options">The worker's options.</param>
/// <param name="devices">Its devices.</param>
/// <param name="stages">Its stages.</param>
/// <param name="profiles">What its devices can do.</param>
/// <param name="lifetime">Ends open streams when the worker stops.</param>
public sealed partial class StageServiceEndpoint(
    WorkerOptions options, DeviceInventory devices, LoadedStages stages, DeviceProfiles profiles, IHostApplicationLifetime lifetime)
    : StageService.StageServiceBase
{
    private static readonly TimeSpan HelloTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ProgressInterval = TimeSpan.FromMilliseconds(50);

    /// <inheritdoc/>
    public override Task<WorkerDescription> Describe(DescribeRequest request, ServerCallContext context)
    {
        var description = new WorkerDescription
        {
            ProtocolVersion = ProtocolVersion.Current,
            Name = options.Name,
            Version = typeof(StageServiceEndpoint).Assembly.GetName().Version?.ToString(3) ?? "",
            ProcessId = Environment.ProcessId,
            Machine = Environment.MachineName,
            Cores = Environment.ProcessorCount,
            Memory = HostMachine.MemoryOfThisProcess(),
        };
        description.Devices.Add(devices.All.Select(device => device.Describe()));
        return Task.FromResult(description);
    }

    /// <inheritdoc/>
    public override Task<ClockReply> ReadClock(ClockRequest request, ServerCallContext context) =>
        Task.FromResult(new ClockReply { NowNs = NodeClock.Now });

    /// <inheritdoc/>
    public override async Task Load(LoadRequest request, IServerStreamWriter<LoadProgress> responseStream, ServerCallContext context)
    {
        var latest = new StageLoading();
        var loading = stages.LoadAsync(request, latest, context.CancellationToken);
        try
        {
            while (await Task.WhenAny(loading, Task.Delay(ProgressInterval, context.CancellationToken)) != loading)
                await responseStream.WriteAsync(latest.ToMessage(), context.CancellationToken);
            var loaded = (await loading).MemoryReport;
            loaded.BytesReceived = latest.BytesReceived;
            await responseStream.WriteAsync(
                new LoadProgress { Loaded = loaded, BytesTotal = loaded.Weights + loaded.LmHead }, context.CancellationToken);
        }
        catch (StageFailureException error)
        {
            await responseStream.WriteAsync(new LoadProgress { Failure = error.Failure }, context.CancellationToken);
        }
        catch (Exception error) when (error is OperationCanceledException or InvalidOperationException && context.CancellationToken.IsCancellationRequested)
        {
            // Who asked has left; what was loaded so far goes with the call, or with its lease.
            await ((Task)loading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <inheritdoc/>
    public override async Task SupplyWeights(
        IAsyncStreamReader<WeightSupply> requestStream, IServerStreamWriter<WeightRequest> responseStream, ServerCallContext context)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(ending.Token);
        patience.CancelAfter(HelloTimeout);
        try
        {
            if (!await requestStream.MoveNext(patience.Token) || requestStream.Current.Hello is not { } hello)
                throw new StageFailureException(FailureCode.BadFrame, "the first message must be a hello", options.Name);
            StageIdentity.CheckVersion(hello.ProtocolVersion, "the coordinator", options.Name, hello.Stage);
            await stages.Supplies.OfferAsync(hello, requestStream, responseStream, ending.Token);
        }
        catch (StageFailureException error)
        {
            throw error.ToRpc();
        }
    }

    /// <inheritdoc/>
    public override async Task Forward(
        IAsyncStreamReader<StageFrame> requestStream, IServerStreamWriter<StageReply> responseStream, ServerCallContext context)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        // Cancelled, too, when nobody takes what the stage makes of the frames.
        using var fed = CancellationTokenSource.CreateLinkedTokenSource(ending.Token);
        StageRunner? runner = null;
        var sender = "the sender";
        var term = 0L;
        try
        {
            var hello = await ReadHelloAsync(requestStream, ending.Token);
            (sender, term) = (hello.Sender, hello.Term);
            if (hello.Probe)
            {
                StageIdentity.CheckVersion(hello.ProtocolVersion, sender, options.Name, -1);
                await LinkProbe.EchoAsync(requestStream, responseStream, ending.Token);
                return;
            }

            var found = stages.Find(hello.Pipeline, hello.Stage);
            await found.AttachAsync(hello, ending.Token);
            runner = found;
            found.Watch.GivenUp += fed.Cancel;
            found.Superseded += fed.Cancel;
            await responseStream.WriteAsync(new StageReply { Accepted = new HelloAccepted() }, fed.Token);

            while (await requestStream.MoveNext(fed.Token))
                await runner.AcceptAsync(requestStream.Current, sender, fed.Token);
        }
        catch (Exception error) when (error is InvalidProtocolBufferException or InvalidDataException)
        {
            var failure = new StageFailureException(
                FailureCode.BadFrame, $"{sender} sent what is no frame: {error.Message}", runner?.Identity.Worker ?? options.Name,
                runner?.Identity.Stage ?? -1);
            if (runner is not null)
                await runner.Watch.PublishAsync(new StageEvent { Failure = failure.Failure }, context.CancellationToken);
            throw failure.ToRpc();
        }
        catch (StageFailureException error) when (runner is null)
        {
            await responseStream.WriteAsync(new StageReply { Refused = error.Failure });
        }
        catch (StageFailureException error)
        {
            await runner!.Watch.PublishAsync(new StageEvent { Failure = error.Failure }, context.CancellationToken);
            throw error.ToRpc();
        }
        catch (Exception error) when (error is IOException or OperationCanceledException)
        {
            if (runner?.Watch.Failure is { } lost && !ending.IsCancellationRequested)
                throw lost.ToRpc();
            // Who watches now is another coordinator, whom the end of this stream does not concern.
            if (runner?.Term > term)
                throw runner.Identity.Fail(FailureCode.EpochMismatch, $"{sender} is of term {term}, a coordinator of term {runner.Term} has come").ToRpc();
            var failure = lifetime.ApplicationStopping.IsCancellationRequested
                ? new StageFailureException(FailureCode.WorkerStopping, "the worker is shutting down", runner?.Identity.Worker ?? options.Name)
                : new StageFailureException(FailureCode.HopLost, $"the stream from {sender} broke", runner?.Identity.Worker ?? options.Name);
            if (runner is not null)
                await runner.Watch.PublishAsync(new StageEvent { Failure = failure.Failure }, CancellationToken.None);
            throw failure.ToRpc();
        }
        finally
        {
            if (runner is not null)
            {
                runner.Watch.GivenUp -= fed.Cancel;
                runner.Superseded -= fed.Cancel;
                await runner.DetachAsync();
            }
        }
    }

    /// <inheritdoc/>
    public override async Task Watch(WatchRequest request, IServerStreamWriter<StageEvent> responseStream, ServerCallContext context)
    {
        var runner = await FindWatchedAsync(request);
        var events = runner.Watch.Open();
        try
        {
            await responseStream.WriteAsync(new StageEvent { Started = new WatchStarted() });
            await foreach (var stageEvent in events.ReadAllAsync(context.CancellationToken))
            {
                await responseStream.WriteAsync(stageEvent, context.CancellationToken).WaitAsync(options.WatchLease);
                events.Sent(stageEvent);
            }
        }
        catch (TimeoutException error)
        {
            var told = $"who watches has read nothing of what is sent for {options.WatchLease.TotalSeconds:0.#} s";
            var failure = runner.Identity.Fail(FailureCode.SlowReader, told, error);
            runner.Watch.GiveUp(events, failure);
            // What is on its way to it is kept until it is read or the stream is broken off.
            context.GetHttpContext().Abort();
            throw failure.ToRpc();
        }
        catch (OperationCanceledException)
        {
            // The coordinator has left.
        }
        finally
        {
            runner.Watch.Leave(events);
        }
    }

    /// <inheritdoc/>
    public override Task<ProgressReport> ReportProgress(ProgressRequest request, ServerCallContext context)
    {
        var report = new ProgressReport();
        report.Stages.Add(stages.All.Where(stage => stage.Identity.Pipeline == request.Pipeline).Select(stage => stage.Progress));
        return Task.FromResult(report);
    }

    /// <inheritdoc/>
    public override Task<KvReport> ReportKv(KvRequest request, ServerCallContext context)
    {
        var report = new KvReport();
        foreach (var runner in stages.All.Where(stage => request.Pipeline is "" || stage.Identity.Pipeline == request.Pipeline))
            report.Stages.Add(runner.ReportKv(request.WantLoads, request.WantTokens));
        return Task.FromResult(report);
    }

    /// <inheritdoc/>
    public override async Task<UnloadReply> Unload(UnloadRequest request, ServerCallContext context) =>
        new() { Stages = await stages.UnloadAsync(request.Pipeline, request.Term) };

    /// <inheritdoc/>
    public override Task<ProbeLinkReply> ProbeLink(ProbeLinkRequest request, ServerCallContext context)
    {
        if (NodeAddress.TryParse(request.Address) is { } address && options.WhyNotDialed(address, request.Peer) is { } reason)
            return Task.FromResult(new ProbeLinkReply { Failure = new StageFailureException(FailureCode.NotTrusted, reason, options.Name).Failure });
        return LinkProbe.RunAsync(request, options.Name, context.CancellationToken, options.Certificates);
    }

    private async Task<Hello> ReadHelloAsync(IAsyncStreamReader<StageFrame> frames, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(HelloTimeout);
        if (await frames.MoveNext(patience.Token) && frames.Current.Hello is { } hello)
            return hello;
        throw new StageFailureException(FailureCode.BadFrame, "the first frame must be a Hello", options.Name);
    }

    private async Task<StageRunner> FindWatchedAsync(WatchRequest request)
    {
        try
        {
            var runner = stages.Find(request.Pipeline, request.Stage);
            runner.Identity.CheckEpoch(request.Epoch, "the coordinator");
            await runner.FollowAsync(request.Term, "the coordinator");
            return runner;
        }
        catch (StageFailureException error)
        {
            throw error.ToRpc();
        }
    }
}
