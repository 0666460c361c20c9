using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Threading.Channels;
using Distributed.Cluster;
using Distributed.Cluster.Config;
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

/// <summary>
/// The stages of one placement, loaded and connected. Steps go into stage 0, results come back from the last stage, and every
/// stage is watched for failures. The first failure ends the pipeline: all steps under way fail with it.
/// </summary>
public sealed class Pipeline : IAsyncDisposable
{
    private const int QueueLength = 16;

    // A chunk of prefill of a large model on a slow CPU takes minutes; a dead worker is noticed long before, by its stream.
    private static readonly TimeSpan StepTimeout = TimeSpan.FromMinutes(15);
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(10);

    private readonly Dictionary<string, GrpcChannel> _channels = [];
    private readonly ConcurrentDictionary<long, TaskCompletionSource<StepResult>> _steps = new();
    private readonly ConcurrentDictionary<long, TaskCompletionSource> _releases = new();
    private readonly Channel<Order> _orders = Channel.CreateBounded<Order>(new BoundedChannelOptions(QueueLength) { SingleReader = true });
    private readonly TaskCompletionSource<Failure> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<Task> _tasks = [];
    private readonly TimeSpan _connectTimeout;
    private ForwardStream? _forward;
    private long _returnClockOffsetNs;

    private Pipeline(Placement placement, long epoch, TimeSpan connectTimeout)
    {
        Placement = placement;
        Epoch = epoch;
        _connectTimeout = connectTimeout;
        Name = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
    }

    /// <summary>The pipeline's name, of its own among all that its workers may hold.</summary>
    public string Name { get; }

    /// <summary>The number of this placement.</summary>
    public long Epoch { get; }

    /// <summary>Which stage has which layers.</summary>
    public Placement Placement { get; }

    /// <summary>The workers' own account of each stage's memory, in the order of the stages.</summary>
    public IReadOnlyList<StageMemory> Memory { get; private set; } = [];

    /// <summary>Completes when the pipeline can no longer go on, with the reason.</summary>
    public Task<Failure> Failed => _failed.Task;

    /// <summary>Loads the stages on their workers, all at once, and connects them.</summary>
    /// <param name="model">The model; only its hash and path are used.</param>
    /// <param name="config">Context, KV type and batch size.</param>
    /// <param name="placement">Where each stage goes.</param>
    /// <param name="epoch">The number of the placement.</param>
    /// <param name="progress">Told now and then how far each stage is; null for nobody.</param>
    /// <param name="cancellation">Gives up; what was loaded is unloaded.</param>
    /// <exception cref="StageFailureException">A worker cannot be reached or refuses its stage.</exception>
    public static async Task<Pipeline> StartAsync(
        ModelFile model,
        ClusterConfig config,
        Placement placement,
        long epoch,
        IProgress<LoadingProgress>? progress,
        CancellationToken cancellation)
    {
        var pipeline = new Pipeline(placement, epoch, config.ConnectTimeout);
        try
        {
            var loading = placement.Stages.Select(stage => pipeline.LoadAsync(model, config, stage, progress, cancellation)).ToArray();
            pipeline.Memory = await Task.WhenAll(loading);
            await pipeline.ConnectAsync(model, cancellation);
            return pipeline;
        }
        catch
        {
            await pipeline.DisposeAsync();
            throw;
        }
    }

    /// <summary>Sends one step through all stages.</summary>
    /// <param name="slices">Whose tokens, and what is wanted of them.</param>
    /// <param name="tokens">Token ids, slice after slice; at most the configured batch size.</param>
    /// <param name="cancellation">Stops waiting; the step itself goes on.</param>
    /// <returns>
    /// The result; its timings have one entry per stage, and one more with the index <c>NumStages</c> for the way back here.
    /// </returns>
    /// <exception cref="StageFailureException">The step failed, or the pipeline did.</exception>
    public async Task<StepResult> RunAsync(IReadOnlyList<Slice> slices, IReadOnlyList<int> tokens, CancellationToken cancellation)
    {
        var step = new Step { Epoch = Epoch };
        step.Slices.Add(slices);
        step.Tokens.Add(tokens);
        var completion = new TaskCompletionSource<StepResult>(TaskCreationOptions.RunContinuationsAsynchronously);
        await EnqueueAsync(new Order(step, completion, null), cancellation);
        var result = await WaitAsync(completion.Task, cancellation);
        return result.Failure is null ? result : throw new StageFailureException(result.Failure);
    }

    /// <summary>Frees the KV cache of sequences on every stage, behind the steps already sent.</summary>
    /// <exception cref="StageFailureException">The pipeline has failed.</exception>
    public async Task ReleaseAsync(IReadOnlyList<long> sequences, CancellationToken cancellation)
    {
        var release = new Release { Epoch = Epoch };
        release.Sequences.Add(sequences);
        var completions = sequences.Select(_ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).ToArray();
        for (var i = 0; i < completions.Length; i++)
            _releases[sequences[i]] = completions[i];
        await EnqueueAsync(new Order(null, null, release), cancellation);
        foreach (var completion in completions)
            await WaitAsync(AsResult(completion.Task), cancellation);
    }

    /// <summary>Asks the workers what the KV cache of each stage holds; one entry per stage, in order.</summary>
    /// <exception cref="StageFailureException">A worker does not answer.</exception>
    public async Task<IReadOnlyList<StageKv>> ReportKvAsync(CancellationToken cancellation)
    {
        var reports = new List<StageKv>();
        foreach (var stage in Placement.Stages.DistinctBy(stage => stage.Address.ToString()))
        {
            try
            {
                var report = await ClientOf(stage).ReportKvAsync(
                    new KvRequest { Pipeline = Name }, deadline: DateTime.UtcNow + CallTimeout, cancellationToken: cancellation);
                reports.AddRange(report.Stages);
            }
            catch (RpcException error)
            {
                throw StageFailureException.From(error, FailureCode.HopLost, stage.Worker, stage.Index);
            }
        }

        return [.. reports.OrderBy(report => report.Stage)];
    }

    /// <summary>Ends the streams and unloads the stages.</summary>
    public async ValueTask DisposeAsync()
    {
        Fail(new Failure { Code = FailureCode.HopLost, Message = "the pipeline has been stopped", Worker = "coordinator", Stage = -1 });
        _orders.Writer.TryComplete();
        if (_forward is not null)
            await _forward.DisposeAsync();
        foreach (var stage in Placement.Stages.DistinctBy(stage => stage.Address.ToString()))
        {
            try
            {
                await ClientOf(stage).UnloadAsync(new UnloadRequest { Pipeline = Name }, deadline: DateTime.UtcNow + CallTimeout);
            }
            catch (RpcException)
            {
                // A worker that is gone has nothing left to unload.
            }
        }

        await _stopping.CancelAsync();
        await Task.WhenAll(_tasks).WaitAsync(CallTimeout).ContinueWith(_ => { }, TaskScheduler.Default);
        foreach (var channel in _channels.Values)
            channel.Dispose();
        _stopping.Dispose();
    }

    private async Task<StageMemory> LoadAsync(
        ModelFile model, ClusterConfig config, StagePlacement stage, IProgress<LoadingProgress>? progress, CancellationToken cancellation)
    {
        var spec = stage.Spec;
        var request = new LoadRequest
        {
            ProtocolVersion = ProtocolVersion.Current,
            Pipeline = Name,
            Epoch = Epoch,
            Stage = stage.Index,
            NumStages = Placement.Stages.Count,
            ModelPath = stage.ModelPath,
            ModelHash = Google.Protobuf.ByteString.CopyFrom(model.Hash),
            Device = stage.Device,
            FirstLayer = spec.FirstLayer,
            EndLayer = spec.EndLayer,
            Context = config.ContextFor(model.Config),
            MaxBatchTokens = spec.MaxBatchTokens,
            KvType = spec.KvType.ToName(),
            KvBlocks = spec.KvBlocks,
            NextAddress = spec.HasHead ? "" : Placement.Stages[stage.Index + 1].Address.ToString(),
        };
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

    private async Task ConnectAsync(ModelFile model, CancellationToken cancellation)
    {
        foreach (var stage in Placement.Stages)
        {
            var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _tasks.Add(WatchAsync(stage, started));
            await started.Task.WaitAsync(_connectTimeout, cancellation);
        }

        var hello = new Hello
        {
            ProtocolVersion = ProtocolVersion.Current,
            Pipeline = Name,
            Epoch = Epoch,
            Stage = 0,
            ModelHash = Google.Protobuf.ByteString.CopyFrom(model.Hash),
            Sender = "coordinator",
        };
        _forward = await ForwardStream.OpenAsync(Placement.Stages[0].Address, hello, Placement.Stages.Count, cancellation);
        _tasks.Add(SendAsync(_forward));
        try
        {
            _returnClockOffsetNs = await NodeClock.OffsetToAsync(ClientOf(Placement.Stages[^1]), cancellation);
        }
        catch (RpcException error)
        {
            throw StageFailureException.From(error, FailureCode.HopLost, Placement.Stages[^1].Worker, Placement.Stages.Count - 1);
        }
    }

    // Steps are numbered here, where their order is settled.
    private async Task SendAsync(ForwardStream forward)
    {
        var number = 0L;
        try
        {
            await foreach (var order in _orders.Reader.ReadAllAsync(_stopping.Token))
            {
                if (order.Step is { } step)
                {
                    step.Step_ = number++;
                    _steps[step.Step_] = order.Completion!;
                    await forward.SendAsync(step);
                }
                else
                {
                    await forward.SendAsync(order.Release!);
                }
            }
        }
        catch (StageFailureException error)
        {
            Fail(error.Failure);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task WatchAsync(StagePlacement stage, TaskCompletionSource started)
    {
        try
        {
            var request = new WatchRequest { Pipeline = Name, Epoch = Epoch, Stage = stage.Index };
            using var call = ClientOf(stage).Watch(request, cancellationToken: _stopping.Token);
            await foreach (var stageEvent in call.ResponseStream.ReadAllAsync(_stopping.Token))
            {
                switch (stageEvent.EventCase)
                {
                    case StageEvent.EventOneofCase.Started:
                        started.TrySetResult();
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
                        Fail(stageEvent.Failure);
                        break;
                }
            }

            Fail(new Failure { Code = FailureCode.HopLost, Message = "the worker let go of the stage", Worker = stage.Worker, Stage = stage.Index });
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
        if (!_steps.TryRemove(result.Step, out var completion))
            return;
        result.Timings.Add(new StageTiming
        {
            Stage = Placement.Stages.Count,
            WireNs = Math.Max(0, result.ArrivedNs + _returnClockOffsetNs - result.SentNs),
            DeserializeNs = NodeClock.Now - result.ArrivedNs,
        });
        completion.TrySetResult(result);
    }

    private void Fail(Failure failure)
    {
        _failed.TrySetResult(failure);
        var error = new StageFailureException(_failed.Task.Result);
        foreach (var key in _steps.Keys)
        {
            if (_steps.TryRemove(key, out var step))
                step.TrySetException(error);
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

    private StageService.StageServiceClient ClientOf(StagePlacement stage)
    {
        lock (_channels)
        {
            var address = stage.Address.ToString();
            if (!_channels.TryGetValue(address, out var channel))
                _channels[address] = channel = NodeChannel.Open(stage.Address, _connectTimeout);
            return new StageService.StageServiceClient(channel);
        }
    }

    private sealed record Order(Step? Step, TaskCompletionSource<StepResult>? Completion, Release? Release);
}
