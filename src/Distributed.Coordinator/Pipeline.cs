using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Threading.Channels;
using Distributed.Cluster;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Coordinator.Scheduling;
using Distributed.Coordinator.Tracing;
using Distributed.Core;
using Grpc.Core;

namespace Distributed.Coordinator;

/// <summary>
/// The stages of one placement, loaded and connected. Steps go into stage 0, results come back from the last stage, and every
/// stage is watched for failures. The first failure ends the pipeline: all steps under way fail with it.
/// </summary>
public sealed partial class Pipeline : IAsyncDisposable
{
    private const int QueueLength = 16;

    // A chunk of prefill of a large model on a slow CPU takes minutes; a dead worker is noticed long before, by its stream.
    internal static readonly TimeSpan StepTimeout = TimeSpan.FromMinutes(15);

    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan NeighbourPatience = TimeSpan.FromMilliseconds(300);

    private readonly WorkerConnections _workers;
    private readonly ConcurrentDictionary<long, PendingStep> _steps = new();
    private readonly ConcurrentDictionary<long, TaskCompletionSource> _releases = new();
    // Whoever has an order carries it to the transport, without a change of threads where nothing else is being sent.
    private readonly Channel<Order> _orders = Channel.CreateBounded<Order>(
        new BoundedChannelOptions(QueueLength) { SingleReader = true, AllowSynchronousContinuations = true });

    private readonly ConcurrentDictionary<string, PeerPulse> _pulses = new();
    private readonly TimeSpan _failureTimeout;
    private readonly Func<string, LinkShape?> _linkOf;
    private readonly TaskCompletionSource<Failure> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<Task> _tasks = [];
    private readonly TimeSpan _connectTimeout;
    private readonly long _term;
    private readonly LinkShape? _firstLink;
    private readonly Func<string, NodePeer?> _peerOf;
    private ForwardStream? _forward;
    private PeerClock? _returnClock;
    private long _sent = -1;
    private long _heard;
    private int _ended;

    private Pipeline(Placement placement, long epoch, ClusterConfig config, string? name = null)
    {
        Placement = placement;
        Epoch = epoch;
        (_connectTimeout, _term) = (config.ConnectTimeout, config.Term);
        (_failureTimeout, _linkOf, _peerOf) = (config.FailureTimeout, config.LinkOf, config.PeerOf);
        _firstLink = config.LinkOf(placement.Stages[0].Worker);
        _workers = new WorkerConnections(placement, config);
        Name = name ?? Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
    }

    /// <summary>The pipeline's name, of its own among all that its workers may hold.</summary>
    public string Name { get; }

    /// <summary>The number of this placement.</summary>
    public long Epoch { get; }

    /// <summary>Which stage has which layers.</summary>
    public Placement Placement { get; }

    /// <summary>The workers' own account of each stage's memory, in the order of the stages.</summary>
    public IReadOnlyList<StageMemory> Memory { get; private set; } = [];

    /// <summary>Bytes of the model's files that had to be sent to workers while the stages loaded.</summary>
    public long BytesSent { get; private set; }

    /// <summary>Keeps the moments of every step; null (the default) to ask the stages for none.</summary>
    public StepRecorder? Recorder { get; set; }

    /// <summary>The clocks of the workers, in the order of the stages.</summary>
    public IReadOnlyList<PeerClock> Clocks => [.. Placement.Stages.Select(_workers.ClockOf)];

    /// <summary>The most tokens of a prompt of <paramref name="length"/> that go in one step.</summary>
    public int ChunkFor(int length) =>
        BatchFormation.ChunkFor(length, Placement.Stages.Count, Placement.Stages[0].Spec.MaxBatchTokens);

    /// <summary>Completes when the pipeline can no longer go on, with the reason.</summary>
    public Task<Failure> Failed => _failed.Task;

    /// <summary>Loads the stages on their workers, all at once, and connects them.</summary>
    /// <param name="model">The model; its hash is used, and its files' bytes where workers have not got them.</param>
    /// <param name="config">Context, KV type and batch size.</param>
    /// <param name="placement">Where each stage goes.</param>
    /// <param name="epoch">The number of the placement.</param>
    /// <param name="progress">Told now and then how far each stage is; null for nobody.</param>
    /// <param name="cancellation">Gives up; what was loaded is unloaded.</param>
    /// <exception cref="StageFailureException">A worker cannot be reached or refuses its stage.</exception>
    public static Task<Pipeline> StartAsync(
        ModelFile model,
        ClusterConfig config,
        Placement placement,
        long epoch,
        IProgress<LoadingProgress>? progress,
        CancellationToken cancellation) =>
        StartAsync(model, config, placement, epoch, progress, resumesSending: true, cancellation);

    /// <summary>The same, and says how long a worker is waited for that falls silent while weights are sent to it.</summary>
    /// <param name="model">The model.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="placement">Where each stage goes.</param>
    /// <param name="epoch">The number of the placement.</param>
    /// <param name="progress">Told how far each stage is; null for nobody.</param>
    /// <param name="resumesSending">
    /// As long as connections hold, and the weights go on from where they stopped when it comes back; else no longer than at work, because
    /// others can take its place. One that needs no weights is never waited for longer than that.
    /// </param>
    /// <param name="cancellation">Gives up.</param>
    internal static async Task<Pipeline> StartAsync(
        ModelFile model,
        ClusterConfig config,
        Placement placement,
        long epoch,
        IProgress<LoadingProgress>? progress,
        bool resumesSending,
        CancellationToken cancellation)
    {
        var pipeline = new Pipeline(placement, epoch, config);
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using var loaded = new CancellationTokenSource();
        try
        {
            pipeline.WatchPulses(worker => resumesSending && pipeline._workers.IsSendingTo(worker));
            _ = pipeline.Failed.ContinueWith(_ => ending.CancelAsync(), loaded.Token, TaskContinuationOptions.None, TaskScheduler.Default);
            pipeline.Memory = await pipeline.LoadAsync(model, config, progress, ending.Token);
            await pipeline.ConnectAsync(model, ending.Token);
            if (resumesSending)
            {
                // Those that were excused once are not asked any more.
                await pipeline.EndPulsesAsync();
                pipeline.WatchPulses();
            }

            await loaded.CancelAsync();
            return pipeline;
        }
        catch (Exception error)
        {
            var lost = pipeline.Failed.IsCompleted ? await pipeline.Failed : (error as StageFailureException)?.Failure;
            var gone = lost?.Code is FailureCode.HopLost or FailureCode.NextUnreachable ? lost.Worker : null;
            await pipeline.RetireAsync(gone, config.FailureTimeout);
            if (lost is not null && !cancellation.IsCancellationRequested)
                throw new StageFailureException(lost, error);
            throw;
        }
    }

    /// <summary>Sends one step through all stages.</summary>
    /// <param name="slices">Whose tokens, and what is wanted of them.</param>
    /// <param name="tokens">Token ids, slice after slice; at most the configured batch size.</param>
    /// <param name="cancellation">Stops waiting; the step itself goes on.</param>
    /// <returns>
    /// The result; its timings have one entry per stage, and one more with the index <c>NumStages</c> for the coordinator's part:
    /// serialize is what the step waited here before its way to stage 0, wire the way back, deserialize from arrival to the caller.
    /// </returns>
    /// <exception cref="StageFailureException">The step failed, or the pipeline did.</exception>
    public async Task<StepResult> RunAsync(IReadOnlyList<Slice> slices, IReadOnlyList<int> tokens, CancellationToken cancellation)
    {
        var step = new Step { Epoch = Epoch };
        step.Slices.Add(slices);
        step.Tokens.Add(tokens);
        var pending = new AwaitedStep(step);
        await SendAsync(pending, cancellation);
        var result = await WaitAsync(pending.Result, cancellation);
        if (result.Failure is not null)
            throw new StageFailureException(result.Failure);
        Received(pending, result);
        return result;
    }

    /// <summary>Puts a step into the queue of stage 0, behind those sent before; waits while that is full.</summary>
    /// <param name="pending">
    /// The step, with this pipeline's epoch, and who is told how it ended. When the pipeline fails meanwhile it may not be told:
    /// <see cref="Failed"/> says so too.
    /// </param>
    /// <param name="cancellation">Gives up before it is in the queue.</param>
    /// <exception cref="StageFailureException">The pipeline has failed.</exception>
    internal ValueTask SendAsync(PendingStep pending, CancellationToken cancellation)
    {
        (pending.Step.WantMoments, pending.Step.WantLayerMoments) = (Recorder is not null, Recorder?.Layers == true);
        return EnqueueAsync(new Order(pending, null), cancellation);
    }

    /// <summary>
    /// Takes down, when who asked for a step has its result, the coordinator's own part of it: what it waited before the way there,
    /// and from the way back to here.
    /// </summary>
    internal void Received(PendingStep pending, StepResult result)
    {
        var received = NodeClock.Now;
        var back = result.Timings[^1];
        back.SerializeNs = pending.HandedNs - pending.AskedNs;
        back.DeserializeNs = received - result.ArrivedNs;
        Recorder?.Add(pending.Step.Slices, result, pending.AskedNs, pending.HandedNs, received);
    }

    /// <summary>For how long nothing has been heard of a worker; null where none of that name is asked.</summary>
    internal TimeSpan? SilenceOf(string worker) => _pulses.TryGetValue(worker, out var pulse) ? pulse.Silence : null;

    /// <summary>Ends the streams and unloads the stages.</summary>
    public ValueTask DisposeAsync() => EndAsync(polite: true, _workers.UnloadAsync);

    /// <summary>Ends a pipeline that has failed: nobody is waited for longer than it takes to see that he is lost.</summary>
    /// <param name="lost">The worker that is known not to answer; null where all may.</param>
    /// <param name="patience">How long to wait for each of the others.</param>
    internal ValueTask RetireAsync(string? lost, TimeSpan patience) =>
        EndAsync(polite: false, name => _workers.UnloadAsync(name, lost, patience));

    private async ValueTask EndAsync(bool polite, Func<string, Task> unload)
    {
        if (Interlocked.Exchange(ref _ended, 1) != 0)
            return;
        Fail(new Failure { Code = FailureCode.HopLost, Message = "the pipeline has been stopped", Worker = "coordinator", Stage = -1 });
        _orders.Writer.TryComplete();
        await EndPulsesAsync();
        if (_forward is not null)
            await (polite ? _forward.DisposeAsync() : _forward.AbortAsync());
        await unload(Name);
        await _stopping.CancelAsync();
        await Task.WhenAll(_tasks).WaitAsync(CallTimeout).ContinueWith(_ => { }, TaskScheduler.Default);
        _workers.Dispose();
        _stopping.Dispose();
    }

    private void WatchPulses(Predicate<string>? excuses = null)
    {
        foreach (var stage in Placement.Stages.DistinctBy(stage => stage.Worker))
        {
            _pulses[stage.Worker] = new PeerPulse(stage.Address, _linkOf(stage.Worker), _failureTimeout, silence =>
            {
                if (excuses?.Invoke(stage.Worker) != true)
                    Fail(Lost(stage.Worker, stage.Index, $"has not answered for {silence.TotalSeconds:0.0} s"));
            }, _peerOf(stage.Worker));
        }
    }

    private async Task EndPulsesAsync()
    {
        foreach (var pulse in _pulses.Values)
            await pulse.DisposeAsync();
        _pulses.Clear();
    }

    private void Seen(StagePlacement stage)
    {
        if (_pulses.TryGetValue(stage.Worker, out var pulse))
            pulse.Seen();
    }

    private async Task ConnectAsync(ModelFile model, CancellationToken cancellation)
    {
        var hello = new Hello
        {
            ProtocolVersion = ProtocolVersion.Current,
            Pipeline = Name,
            Epoch = Epoch,
            Stage = 0,
            ModelHash = Google.Protobuf.ByteString.CopyFrom(model.Hash),
            Sender = "coordinator",
            Term = _term,
        };
        var first = Placement.Stages[0];
        _forward = await ForwardStream.OpenAsync(
            first.Address, hello, Placement.Stages.Count, cancellation, _firstLink, _peerOf(first.Worker), _failureTimeout);
        _tasks.Add(SendAsync(_forward));
        _tasks.Add(WatchProgressAsync(model.Config));
        await _workers.OpenClocksAsync(cancellation);
        _returnClock = _workers.ClockOf(Placement.Stages[^1]);
    }

    private async Task WatchAsync(StagePlacement stage, CancellationToken cancellation)
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_tasks)
        {
            _tasks.Add(WatchAsync(stage, started));
        }

        try
        {
            await started.Task.WaitAsync(_connectTimeout, cancellation);
        }
        catch (TimeoutException error)
        {
            throw new StageFailureException(
                FailureCode.HopLost, $"does not answer within {_connectTimeout.TotalSeconds} s", stage.Worker, stage.Index, error);
        }
    }

    // Steps are numbered here, where their order is settled.
    private async Task SendAsync(ForwardStream forward)
    {
        try
        {
            await foreach (var order in _orders.Reader.ReadAllAsync(_stopping.Token))
            {
                if (order.Pending is { } pending)
                {
                    pending.Step.Step_ = Interlocked.Increment(ref _sent);
                    _steps[pending.Step.Step_] = pending;
                    pending.HandedNs = NodeClock.Now;
                    await forward.SendAsync(pending.Step);
                }
                else
                {
                    await forward.SendAsync(order.Release!);
                }
            }
        }
        catch (StageFailureException error)
        {
            await FailAsync(error.Failure);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task WatchAsync(StagePlacement stage, TaskCompletionSource started)
    {
        try
        {
            var request = new WatchRequest { Pipeline = Name, Epoch = Epoch, Stage = stage.Index, Term = _term };
            using var call = _workers.ClientOf(stage).Watch(request, cancellationToken: _stopping.Token);
            await foreach (var stageEvent in call.ResponseStream.ReadAllAsync(_stopping.Token))
            {
                Seen(stage);
                Interlocked.Increment(ref _heard);
                switch (stageEvent.EventCase)
                {
                    case StageEvent.EventOneofCase.Started:
                        started.TrySetResult();
                        break;
                    case StageEvent.EventOneofCase.Result when stageEvent.Result.Checksum != FrameChecksum.Of(stageEvent.Result):
                        _ = FailAsync(new StageFailureException(
                            FailureCode.FrameCorrupt, "a result arrived damaged", stage.Worker, stage.Index).Failure);
                        break;
                    case StageEvent.EventOneofCase.Result:
                        Complete(stageEvent.Result);
                        break;
                    case StageEvent.EventOneofCase.Released:
                        foreach (var sequence in stageEvent.Released.Sequences)
                        {
                            if (_releases.TryRemove(sequence, out var release))
                                release.TrySetResult();
                        }

                        break;
                    case StageEvent.EventOneofCase.Failure:
                        _ = FailAsync(stageEvent.Failure);
                        break;
                }
            }

            var ended = new StageFailureException(FailureCode.HopLost, "the worker let go of the stage", stage.Worker, stage.Index);
            started.TrySetException(ended);
            await FailAsync(ended.Failure);
        }
        catch (Exception error) when (error is RpcException or OperationCanceledException)
        {
            var failure = error is RpcException rpc
                ? StageFailureException.From(rpc, FailureCode.HopLost, stage.Worker, stage.Index)
                : new StageFailureException(FailureCode.HopLost, "watching has ended", stage.Worker, stage.Index);
            Fail(failure.Failure);
            started.TrySetException(failure);
        }
    }

    private void Complete(StepResult result)
    {
        if (!_steps.TryRemove(result.Step, out var pending))
            return;
        result.Timings.Add(new StageTiming
        {
            Stage = Placement.Stages.Count,
            WireNs = Math.Max(0, result.ArrivedNs + (_returnClock?.OffsetNs ?? 0) - result.SentNs),
            Moments = Recorder is null ? null : new StageMoments { ArrivedNs = result.ArrivedNs, AcceptedNs = NodeClock.Now },
        });
        pending.Completed(result);
    }

    // A worker that dies takes its neighbours' streams along, and they may say so first. The end of its own watch names it, so
    // what others say of a lost hop waits for that a moment.
    private async Task FailAsync(Failure failure)
    {
        if (failure.Code is FailureCode.HopLost or FailureCode.NextUnreachable)
            await Task.WhenAny(Failed, Task.Delay(NeighbourPatience));
        Fail(failure);
    }

    /// <summary>Ends the pipeline: all steps under way fail, and all that come.</summary>
    internal void Fail(Failure failure)
    {
        _failed.TrySetResult(failure);
        _orders.Writer.TryComplete();
        var error = new StageFailureException(_failed.Task.Result);
        foreach (var key in _steps.Keys)
        {
            if (_steps.TryRemove(key, out var step))
                step.Failed(error);
        }

        foreach (var key in _releases.Keys)
        {
            if (_releases.TryRemove(key, out var release))
                release.TrySetException(error);
        }
    }

    private async ValueTask EnqueueAsync(Order order, CancellationToken cancellation)
    {
        if (Failed.IsCompleted)
            throw new StageFailureException(await Failed);
        try
        {
            await _orders.Writer.WriteAsync(order, cancellation);
        }
        catch (ChannelClosedException)
        {
            throw new StageFailureException(await Failed);
        }
    }

    private async Task<T> WaitAsync<T>(Task<T> task, CancellationToken cancellation)
    {
        try
        {
            // The failure may have come between the check on entry and the step's number.
            var first = await Task.WhenAny(task, Failed).WaitAsync(StepTimeout, cancellation);
            return first == task || task.IsCompleted ? await task : throw new StageFailureException(await Failed);
        }
        catch (TimeoutException)
        {
            throw new StageFailureException(FailureCode.HopLost, $"no result within {StepTimeout.TotalMinutes} minutes", "coordinator");
        }
    }

    private static async Task<bool> AsResult(Task task)
    {
        await task;
        return true;
    }

    private sealed record Order(PendingStep? Pending, Release? Release);
}
