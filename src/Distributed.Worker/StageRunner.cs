using System.Diagnostics;
using System.Threading.Channels;
using Distributed.Cluster;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Engine;

namespace Distributed.Worker;

/// <summary>
/// A loaded stage at work: the Forward call puts frames into the inbox; one loop computes them in order and passes each outcome to
/// the next stage or, on the last one, to the watcher. Receiving, computing and sending overlap: the loop itself sends only what
/// takes no time, as a token's hidden state does.
/// <para>
/// The loop runs on the threads of the pool, as the transport does: most often the one that has read a frame also computes it, and the
/// one that has computed it also sends the outcome. Each hand-over to a thread of its own would be a core to wake, up to 150 µs of a hop.
/// </para>
/// </summary>
public sealed class StageRunner : IAsyncDisposable
{
    // Enough that a stage never waits for its neighbour's hands, few enough that a slow one soon holds the others back.
    private const int QueueLength = 4;

    // More bytes than these are sent from another thread: the loop's has the next step to compute.
    private const int LargeBytes = 64 << 10;

    // Sequences that one release may name: more than a stage can hold.
    private const int MostReleased = 1 << 16;

    private const long MostTermsAhead = 1 << 20;

    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan YieldTimeout = TimeSpan.FromSeconds(5);

    private readonly Stage _stage;
    private readonly IReadOnlyList<IDisposable> _owned;
    private readonly NodeAddress? _next;
    private readonly LinkShape? _nextLink;
    private readonly NodePeer? _nextPeer;
    private readonly TimeSpan? _nextTimeout;
    private readonly StepComputation _computation;
    // Whoever adds goes on before the loop does: it has more to read from its stream while this step is computed.
    private readonly Channel<StageOrder> _inbox = Channel.CreateBounded<StageOrder>(QueueLength);
    private readonly SemaphoreSlim _unsent = new(QueueLength);
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _computing;
    private Task _sending = Task.CompletedTask;
    private readonly Func<StageRunner>? _nextHere;
    private IStageHop? _nextStream;
    private PeerPulse? _nextPulse;
    private long _lastStep = -1;
    private long _lastDone = -1;
    private long _taken;
    private long _done;
    private volatile bool _isComputing;
    private int _attached;

    // The number of the stream that feeds the stage: what came on another one is for nobody any more.
    private int _stream;
    private long _term;
    private int _disposed;

    /// <param name="identity">Which stage this is.</param>
    /// <param name="stage">The loaded stage; the runner disposes it.</param>
    /// <param name="device">The device's name, for reports.</param>
    /// <param name="next">The worker of the stage behind; null on the last stage.</param>
    /// <param name="nextLink">What the connection to it is made to be; null to leave it as it is.</param>
    /// <param name="nextTimeout">How long that worker may be silent before it counts as lost; null not to ask it.</param>
    /// <param name="nextPeer">Who must answer there; null for plain text.</param>
    /// <param name="nextHere">Finds the stage behind where that is on this worker too; null where it is not.</param>
    /// <param name="owned">What else ends with the runner, in this order: backend, model file, memory reservation.</param>
    public StageRunner(
        StageIdentity identity, Stage stage, string device, NodeAddress? next, LinkShape? nextLink, TimeSpan? nextTimeout,
        NodePeer? nextPeer, Func<StageRunner>? nextHere, IReadOnlyList<IDisposable> owned)
    {
        Identity = identity;
        _stage = stage;
        _next = next;
        (_nextLink, _nextTimeout, _nextPeer) = (nextLink, nextTimeout, nextPeer);
        _nextHere = nextHere;
        _owned = owned;
        _computation = new StepComputation(identity, stage, device);
        PoolThreads.Add();
        _computing = Task.Run(ComputeAsync);
    }

    /// <summary>Which stage this is.</summary>
    public StageIdentity Identity { get; }

    /// <summary>The request that loaded it, without the files' outline; null where nobody asked over the wire.</summary>
    public LoadRequest? Request { get; init; }

    /// <summary>How long it is kept while nobody watches; null for the worker's own time.</summary>
    public TimeSpan? Lease { get; init; }

    /// <summary>The stage's memory as allocated, bytes.</summary>
    public StageMemory Memory => _stage.Memory;

    /// <summary>Results and failures for the coordinator.</summary>
    public StageWatch Watch { get; } = new();

    /// <summary>The latest term of a leading coordinator that the stage has met; 0 where its coordinator has none.</summary>
    public long Term => Interlocked.Read(ref _term);

    /// <summary>A coordinator of a later term has come: whoever feeds the stage for an earlier one must stop.</summary>
    public event Action? Superseded;

    /// <summary>Lets a coordinator of this term have the stage from now on, and nobody of an earlier one.</summary>
    /// <param name="term">The term.</param>
    /// <param name="sender">Who speaks, for the error.</param>
    /// <exception cref="StageFailureException">A coordinator of a later term has it, or it is no term that one can have come to.</exception>
    public async Task FollowAsync(long term, string sender)
    {
        // A term that nobody reaches would shut the coordinator out for good.
        if (term != 0 && Request is { Led: false })
            throw Identity.Fail(FailureCode.BadFrame, $"{sender} is of term {term}, must be of none: no other coordinator stands by for this stage's");
        if (term < 0 || term - Term > MostTermsAhead)
            throw Identity.Fail(FailureCode.BadFrame, $"{sender} is of term {term}, must lie between 0 and {MostTermsAhead} above {Term}");
        long met;
        while ((met = Term) < term && Interlocked.CompareExchange(ref _term, term, met) != met)
        {
        }

        if (met > term)
            throw Identity.Fail(FailureCode.EpochMismatch, $"{sender} is of term {term}, this stage follows the coordinator of term {met}");
        // Stages behind the first one are fed by stages: their streams end with that of the first.
        if (met == term || Identity.Stage > 0)
            return;
        Superseded?.Invoke();
        var since = Stopwatch.GetTimestamp();
        while (Volatile.Read(ref _attached) == 1 && Stopwatch.GetElapsedTime(since) < YieldTimeout)
            await Task.Delay(5);
    }

    /// <summary>Takes the stage's one Forward stream: checks the sender and opens the stream to the stage behind.</summary>
    /// <exception cref="StageFailureException">The sender is refused, here or further down.</exception>
    public async Task AttachAsync(Hello hello, CancellationToken cancellation)
    {
        Identity.Check(hello);
        await FollowAsync(hello.Term, hello.Sender);
        if (_inbox.Reader.Completion is { IsFaulted: true, Exception.InnerException: { } ended })
            throw ended;
        if (Interlocked.Exchange(ref _attached, 1) == 1)
            throw Identity.Fail(FailureCode.StageBusy, $"another stream already feeds this stage in epoch {Identity.Epoch}");
        _lastStep = -1;
        Interlocked.Increment(ref _stream);
        try
        {
            if (_next is null)
                return;
            var onward = hello.Clone();
            onward.Stage = Identity.Stage + 1;
            onward.Sender = Identity.Worker;
            _nextStream = _nextHere is null
                ? await ForwardStream.OpenAsync(
                    _next, onward, Identity.NumStages - onward.Stage, cancellation, _nextLink, _nextPeer, _nextTimeout)
                : await LocalHop.OpenAsync(_nextHere(), onward, cancellation);
            _ = ReportLossAsync(_nextStream, hello.Term);
            // Who is silent in this process does not answer for itself either.
            if (_nextHere is null && _nextTimeout is { } timeout)
                _nextPulse = new PeerPulse(_next, _nextLink, timeout, silence => _ = ReportSilenceAsync(silence), _nextPeer);
        }
        catch
        {
            _attached = 0;
            throw;
        }
    }

    /// <summary>Lets go of the Forward stream, and with it of the stream to the stage behind.</summary>
    public async Task DetachAsync()
    {
        if (Interlocked.Exchange(ref _nextPulse, null) is { } pulse)
            await pulse.DisposeAsync();
        if (Interlocked.Exchange(ref _nextStream, null) is { } next)
            await next.DisposeAsync();
        _attached = 0;
    }

    /// <summary>Puts a frame into the inbox; waits while it is full.</summary>
    /// <exception cref="StageFailureException">The frame is neither a step nor a release, of another epoch, or out of order.</exception>
    public ValueTask AcceptAsync(StageFrame frame, string sender, CancellationToken cancellation)
    {
        if (frame.Step is { } step)
            CheckSum(step.Checksum, FrameChecksum.Of(step, step.ReceivedHidden.Span), sender);
        else if (frame.Release is { } release)
            CheckSum(release.Checksum, FrameChecksum.Of(release), sender);
        return AcceptCheckedAsync(frame, sender, cancellation);
    }

    /// <summary>The same for a frame whose bytes nothing can have damaged on its way.</summary>
    /// <inheritdoc cref="AcceptAsync"/>
    internal ValueTask AcceptCheckedAsync(StageFrame frame, string sender, CancellationToken cancellation)
    {
        switch (frame.FrameCase)
        {
            case StageFrame.FrameOneofCase.Step:
                Identity.CheckEpoch(frame.Step.Epoch, sender);
                if (frame.Step.Step_ <= _lastStep)
                    throw Identity.Fail(FailureCode.BadFrame, $"{sender} sent step {frame.Step.Step_} after step {_lastStep}");
                Interlocked.Exchange(ref _lastStep, frame.Step.Step_);
                Interlocked.Increment(ref _taken);
                return EnqueueAsync(new StageOrder(frame.Step, null, NodeClock.Now, Stream: Volatile.Read(ref _stream)), cancellation);
            case StageFrame.FrameOneofCase.Release:
                Identity.CheckEpoch(frame.Release.Epoch, sender);
                if (frame.Release.Sequences.Count + frame.Release.Forks.Count is > MostReleased and var named)
                    throw Identity.Fail(FailureCode.BadFrame, $"{sender} sent a release of {named} sequences, must be at most {MostReleased}");
                Interlocked.Increment(ref _taken);
                return EnqueueAsync(new StageOrder(null, frame.Release, NodeClock.Now, Stream: Volatile.Read(ref _stream)), cancellation);
            default:
                throw Identity.Fail(FailureCode.BadFrame, $"{sender} sent {frame.FrameCase} where a step or a release belongs");
        }
    }

    /// <summary>Has something done between two steps.</summary>
    /// <param name="action">What; it gets the stage, and which tokens its sequences have.</param>
    /// <param name="cancellation">Stops waiting for it.</param>
    /// <returns>What the action gives, or throws.</returns>
    internal async Task<T> BetweenStepsAsync<T>(Func<Stage, HeldTokens, T> action, CancellationToken cancellation)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        // A stage that is unloaded leaves what is in its inbox.
        using var unloading = _stopping.Token.Register(
            () => done.TrySetException(Identity.Fail(FailureCode.UnknownStage, "the stage has been unloaded")));
        await EnqueueAsync(new StageOrder(null, null, NodeClock.Now, Act), cancellation);
        return await done.Task.WaitAsync(cancellation);

        void Act()
        {
            // Nobody waits for it any more, or undoes it.
            if (cancellation.IsCancellationRequested)
                return;
            try
            {
                done.TrySetResult(action(_stage, _computation.Held));
            }
#pragma warning disable CA1031 // Who asked is told; the stage goes on.
            catch (Exception error)
#pragma warning restore CA1031
            {
                done.TrySetException(error);
            }
        }
    }

    /// <summary>What the KV cache holds at this moment.</summary>
    /// <param name="withLoad">Say what it was loaded as, too.</param>
    /// <param name="withTokens">Say which tokens its sequences have, too.</param>
    public StageKv ReportKv(bool withLoad = false, bool withTokens = false)
    {
        var report = _computation.ReportKv(withTokens);
        if (withLoad)
            (report.Load, report.Memory) = (Request, MemoryReport);
        return report;
    }

    /// <summary>How far its steps have come.</summary>
    public StageProgress Progress => new()
    {
        Stage = Identity.Stage,
        Computing = _isComputing,
        Taken = Interlocked.Read(ref _taken),
        Done = Interlocked.Read(ref _done),
        LastTaken = Interlocked.Read(ref _lastStep),
        LastDone = Interlocked.Read(ref _lastDone),
    };

    /// <summary>The stage's memory, as the protocol has it.</summary>
    public LoadedStage MemoryReport => new()
    {
        Weights = Memory.Weights,
        LmHead = Memory.LmHead,
        KvCache = Memory.KvCache,
        Activations = Memory.Activations,
        Scratch = Memory.Scratch,
    };

    /// <summary>Stops computing, ends the streams and frees the stage's memory.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 1)
            return;
        // In this order: a loop that finds its inbox closed before it is to stop takes that for a fault.
        await _stopping.CancelAsync();
        _inbox.Writer.TryComplete();
        Watch.Close();
        // Whoever unloads a stage that is still fed knows that its neighbours are not to be waited for.
        if (Interlocked.Exchange(ref _nextStream, null) is { } next)
            await next.AbortAsync();
        await DetachAsync();
        // A step under way is finished first: its memory must not be freed below it.
        await _computing;
        PoolThreads.Remove();
        await _sending.WaitAsync(StopTimeout).ContinueWith(_ => { }, TaskScheduler.Default);
        _stage.Dispose();
        foreach (var owned in _owned)
            owned.Dispose();
        _stopping.Dispose();
        _unsent.Dispose();
    }

    private void CheckSum(ulong sent, ulong arrived, string sender)
    {
        if (sent != arrived)
            throw Identity.Fail(FailureCode.FrameCorrupt, $"a frame from {sender} has the checksum {sent:x16}, what arrived has {arrived:x16}");
    }

    private async ValueTask EnqueueAsync(StageOrder order, CancellationToken cancellation)
    {
        try
        {
            await _inbox.Writer.WriteAsync(order, cancellation);
        }
        catch (ChannelClosedException error)
        {
            throw error.InnerException as StageFailureException ?? Identity.Fail(FailureCode.UnknownStage, "the stage has been unloaded");
        }
    }

    private async Task ComputeAsync()
    {
        try
        {
            while (true)
            {
                // What still waits when the stage is unloaded is left.
                var order = await _inbox.Reader.ReadAsync(_stopping.Token);
                if (order.Aside is { } aside)
                {
                    aside();
                    continue;
                }

                if (order.Step is { } late && order.Stream != Volatile.Read(ref _stream))
                {
                    late.ReturnHidden();
                    Interlocked.Increment(ref _done);
                    continue;
                }

                _isComputing = true;
                var outcome = _computation.Run(order);
                Interlocked.Increment(ref _done);
                Interlocked.Exchange(ref _lastDone, order.Step?.Step_ ?? _lastDone);
                _isComputing = false;
                await _unsent.WaitAsync(_stopping.Token);
                _sending = SendBehindAsync(_sending, outcome, order.Stream);
            }
        }
        catch (Exception) when (_stopping.IsCancellationRequested)
        {
        }
#pragma warning disable CA1031 // Whatever it is, nobody may wait for a stage whose loop has ended.
        catch (Exception error)
#pragma warning restore CA1031
        {
            await EndAsync(Identity.Fail(FailureCode.StageFailed, $"the stage's loop has ended: {error.Message}", error));
        }

        while (_inbox.Reader.TryRead(out var left))
            left.Step?.ReturnHidden();
    }

    private async Task EndAsync(StageFailureException failure)
    {
        _isComputing = false;
        _inbox.Writer.TryComplete(failure);
        await Watch.PublishAsync(new StageEvent { Failure = failure.Failure }, CancellationToken.None);
        await _stopping.CancelAsync();
    }

    private async Task SendBehindAsync(Task before, StageOutcome outcome, int stream)
    {
        if (!before.IsCompleted || outcome.Bytes > LargeBytes)
            await before.ConfigureAwait(ConfigureAwaitOptions.ForceYielding | ConfigureAwaitOptions.SuppressThrowing);
        try
        {
            await SendAsync(outcome, stream);
        }
        catch (StageFailureException error)
        {
            await Watch.PublishAsync(new StageEvent { Failure = error.Failure }, _stopping.Token);
        }
        catch (OperationCanceledException)
        {
        }
        finally
        {
            outcome.ReturnBuffer();
            _unsent.Release();
        }
    }

    private async Task SendAsync(StageOutcome outcome, int stream)
    {
        // Another coordinator's stream may take the place of the one it came on: it counts its steps from 0.
        var onward = _nextStream;
        if (stream != Volatile.Read(ref _stream))
            return;
        if (outcome.Result is { } result)
        {
            outcome.StampSerialized(result.Timings);
            result.Checksum = FrameChecksum.Of(result);
            result.SentNs = NodeClock.Now;
            await Watch.PublishAsync(new StageEvent { Result = result }, _stopping.Token);
        }
        else if (outcome.Released is { } released && Identity.IsLast)
        {
            await Watch.PublishAsync(new StageEvent { Released = new Released { Sequences = { released.Sequences } } }, _stopping.Token);
        }
        else
        {
            // The stream that it came on has ended, and the one behind with it: no loss to the coordinator that comes next.
            if (onward is null)
                return;
            try
            {
                if (outcome.Step is { } step)
                {
                    outcome.StampSerialized(step.Timings);
                    await onward.SendAsync(step);
                }
                else
                {
                    await onward.SendAsync(outcome.Released!);
                }
            }
            catch (StageFailureException) when (onward != _nextStream)
            {
                // It has ended so while something was being sent.
            }
        }
    }

    private async Task ReportSilenceAsync(TimeSpan silence)
    {
        var failure = new StageFailureException(
            FailureCode.HopLost, $"has not answered {Identity.Worker} for {silence.TotalSeconds:0.0} s", $"{_next}", Identity.Stage + 1);
        await Watch.PublishAsync(new StageEvent { Failure = failure.Failure }, CancellationToken.None);
    }

    private async Task ReportLossAsync(IStageHop next, long term)
    {
        // The next coordinator need not know of the end of the last one's stream.
        if (await next.Closed is { } loss && !_stopping.IsCancellationRequested && term == Term)
            await Watch.PublishAsync(new StageEvent { Failure = loss.Failure }, CancellationToken.None);
    }
}
