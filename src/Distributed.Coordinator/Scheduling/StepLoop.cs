using System.Collections.Concurrent;
using System.Threading.Channels;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Sessions;
using Distributed.Core;

namespace Distributed.Coordinator.Scheduling;

/// <summary>
/// Continuous batching: the one loop that forms steps from all sequences of a pipeline and hands their results out. Between two
/// steps sequences join and leave; <see cref="BatchFormation"/> says when the next step goes and what is in it.
/// <para>
/// The loop is woken by results, by who joins or leaves, and by consumers that have caught up. All state is the loop's own; others
/// hand in what they want through queues no longer than the sequences and steps that there are.
/// </para>
/// <para>
/// When a step fails that several sequences shared, nobody knows whose fault it was: each sends its tokens again in a step of its
/// own, which cuts the KV cache back to where the failed step began, and only who fails alone ends with the error. Results count in
/// the order in which steps were sent, so that a step behind a failed one cannot make true what the failed one should have.
/// </para>
/// <para>
/// When the pipeline fails and another one is to take its place, all sequences are rewound and wait; on the new one each computes the
/// tokens it had and goes on.
/// </para>
/// </summary>
internal sealed class StepLoop : IAsyncDisposable
{
    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);

    // A sequence that was on its way so often when the stages broke, without a token between, is taken to be what breaks them.
    private const int MostLosses = 3;

    private readonly Action? _kvLost;
    private readonly Func<IReadOnlyList<Session>>? _sessions;
    private readonly RunningSequences _sequences = new();
    private readonly Queue<Flight> _flights = new();
    private readonly ConcurrentQueue<(SequenceRun Run, bool Leaves)> _comers = new();
    private readonly List<SequenceRun> _strays = [];
    private readonly HashSet<SequenceRun> _replaying = [];
    private readonly int _maxTokens;
    private readonly Action _landed;
    private readonly Timer _watchdog;
    private readonly Task _loop;

    private volatile Pipeline _pipeline;
    private StageBalance _balance;
    private int _stages;
    private bool _suspended;
    private Resumption? _resumption;
    private volatile Resumption? _coming;
    private volatile StageFailureException? _givenUp;

    // Who brings a result forms the next step, without a change of threads while the loop waits.
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1)
    {
        FullMode = BoundedChannelFullMode.DropWrite,
        SingleReader = true,
        AllowSynchronousContinuations = true,
    });

    /// <param name="pipeline">Where steps go.</param>
    /// <param name="maxTokens">The most tokens in a step.</param>
    /// <param name="kvLost">
    /// Told, by the loop itself, when the pipeline has failed and <see cref="ResumeAsync"/> will bring another; null when none comes, and
    /// all sequences fail with the pipeline.
    /// </param>
    /// <param name="sessions">Those whose KV cache others may begin with; null where none does.</param>
    public StepLoop(Pipeline pipeline, int maxTokens, Action? kvLost = null, Func<IReadOnlyList<Session>>? sessions = null)
    {
        _sessions = sessions;
        (_pipeline, _maxTokens, _stages, _kvLost) = (pipeline, maxTokens, pipeline.Placement.Stages.Count, kvLost);
        _balance = new StageBalance(_stages);
        _landed = () => Wake();
        _loop = Task.Run(LoopAsync);
        _watchdog = new Timer(_ => Wake(), null, CheckInterval, CheckInterval);
        _ = pipeline.Failed.ContinueWith(_ => Wake(), TaskScheduler.Default);
    }

    /// <summary>Where steps go now; it may have failed.</summary>
    public Pipeline Pipeline => _pipeline;

    /// <summary>Goes on with another pipeline in place of one that failed.</summary>
    /// <param name="pipeline">The pipeline.</param>
    /// <param name="kept">Sequences, and the tokens whose keys and values its stages have already; null for none.</param>
    /// <returns>Done when every sequence that had tokens in the KV cache has them again, or has ended.</returns>
    public Task<ReplayCounts> ResumeAsync(Pipeline pipeline, IReadOnlyDictionary<long, IReadOnlyList<int>>? kept = null)
    {
        var resumption = new Resumption(pipeline, kept ?? new Dictionary<long, IReadOnlyList<int>>());
        _givenUp = null;
        _coming = resumption;
        _ = pipeline.Failed.ContinueWith(_ => Wake(), TaskScheduler.Default);
        Wake();
        return resumption.Replayed.Task;
    }

    /// <summary>Fails all sequences that wait for another pipeline, and those that come, until there is one.</summary>
    public void GiveUp(StageFailureException error)
    {
        _givenUp = error;
        Wake();
    }

    /// <summary>What it has done and is doing.</summary>
    public StepCounts Counts { get; } = new();

    /// <summary>Takes a sequence in; its tokens come out of it.</summary>
    public void Join(SequenceRun run) => Enter(run, leaves: false);

    /// <summary>Lets a sequence go.</summary>
    /// <returns>Done when nothing of it is on its way: whether the KV cache is what its session says.</returns>
    public Task<bool> LeaveAsync(SequenceRun run)
    {
        Enter(run, leaves: true);
        return run.Drained;
    }

    /// <summary>Has the loop look whether there is something to do.</summary>
    /// <returns>False when it has ended.</returns>
    public bool Wake() => _wake.Writer.TryWrite(true);

    /// <summary>Ends the loop: sequences that are still there end as cancelled.</summary>
    public async ValueTask DisposeAsync()
    {
        await _watchdog.DisposeAsync();
        _wake.Writer.TryComplete();
        await _loop.WaitAsync(StopTimeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private void Enter(SequenceRun run, bool leaves)
    {
        _comers.Enqueue((run, leaves));
        if (!Wake())
            EndComers();
    }

    private async Task LoopAsync()
    {
        while (await _wake.Reader.WaitToReadAsync())
        {
            _wake.Reader.TryRead(out _);
            try
            {
                await RunAsync();
            }
            catch (StageFailureException)
            {
                // The pipeline has failed, which the next look sees.
                Wake();
            }
#pragma warning disable CA1031 // Whatever it is, sequences must not wait for ever for a loop that has ended.
            catch (Exception error)
#pragma warning restore CA1031
            {
                _pipeline.Fail(Failure(FailureCode.StageFailed, $"scheduling failed: {error.Message}"));
                Wake();
            }
        }

        var ended = new OperationCanceledException("the coordinator is stopping");
        foreach (var run in _sequences.Clear())
            Abandon(run, ended);
        EndComers();
    }

    private async Task RunAsync()
    {
        do
        {
            if (_suspended)
                Resume();
            LetIn();
            // A step that failed with its pipeline is no sequence's fault.
            while (_flights.TryPeek(out var flight) && flight.Landed && !(flight.Result is null && IsReplaced))
                Land(_flights.Dequeue());
            if (_suspended && _givenUp is { } reason)
                FailAll(reason);
            else if (IsReplaced && !_suspended)
                Suspend(await _pipeline.Failed);
            else if (_pipeline.Failed.IsCompleted && !_suspended)
                FailAll(FailureAdvice.For(await _pipeline.Failed));
            else if (_flights.TryPeek(out var oldest) && oldest.Time > Pipeline.StepTimeout)
                _pipeline.Fail(Failure(
                    FailureCode.HopLost, $"no result of step {oldest.Step.Step_} within {Pipeline.StepTimeout.TotalMinutes} minutes"));
        }
        while (await SendNextAsync() || (_suspended && _coming is not null));
        Counts.Now(_sequences.Count, _flights.Count);
    }

    private async ValueTask<bool> SendNextAsync()
    {
        if (_suspended || Next() is not { } flight)
            return false;
        _flights.Enqueue(flight);
        Counts.Sent(flight, _flights.Count);
        await _pipeline.SendAsync(flight, CancellationToken.None);
        return true;
    }

    private Flight? Next()
    {
        if (_flights.Count < _stages && _sequences.TakeSuspect(_maxTokens) is { } alone)
            return Pack([alone]);
        var state = new BatchState(
            _stages, _maxTokens, _balance.Groups, _flights.Count, Counts.Steps, _sequences.CountDecoding(), _sequences.Ready);
        var takes = _sequences.Form(state);
        return takes.Count == 0 ? null : Pack(takes);
    }

    private Flight Pack(IReadOnlyList<(SequenceRun Run, int Count)> takes)
    {
        var step = new Step { Epoch = _pipeline.Epoch };
        var parts = new FlightPart[takes.Count];
        for (var i = 0; i < parts.Length; i++)
        {
            parts[i] = takes[i].Run.Take(takes[i].Count, out var slice, step.Tokens);
            step.Slices.Add(slice);
            _sequences.Sent(takes[i].Run);
        }

        return new Flight(step, parts, _landed);
    }

    private void Land(Flight flight)
    {
        if (flight.Result is { } result)
            Land(flight, result);
        else if (flight.Parts.Count > 1 && !_pipeline.Failed.IsCompleted)
            Retry(flight);
        else
            Fail(flight, FailureAdvice.For(flight.Failure!));
    }

    private void Land(Flight flight, StepResult result)
    {
        _pipeline.Received(flight, result);
        if (flight.Step.Tokens.Count == flight.Parts.Count)
            _balance.Add(result.Timings, flight.Time);
        var step = new SharedStep(result.Step, flight.Parts.Count, flight.Step.Tokens.Count, result.Timings);
        // Drawn tokens come in the order of the slices that asked for one.
        var next = 0;
        foreach (var part in flight.Parts)
        {
            var drawn = part.Draws && next < result.Tokens.Count ? result.Tokens[next++] : null;
            if (part.Draws && drawn?.Sequence != part.Run.Session.Sequence)
            {
                var failure = Failure(
                    FailureCode.BadFrame, $"the result of step {result.Step} has no token of sequence {part.Run.Session.Sequence}");
                _pipeline.Fail(failure);
                // The flight is off the queue: nobody else would tell those in it.
                if (_kvLost is not null)
                {
                    _strays.AddRange(flight.Parts.Select(lost => lost.Run));
                    return;
                }

                foreach (var lost in flight.Parts)
                    Abandon(lost.Run, FailureAdvice.For(failure));
                return;
            }

            if (part.Run.Land(part, drawn, step, flight.Time))
                _sequences.Continue(part.Run);
            if (!part.Run.Replays)
                Replayed(part.Run);
            Settle(part.Run);
        }
    }

    private void Retry(Flight flight)
    {
        Counts.Retried();
        foreach (var part in flight.Parts)
        {
            if (part.Run.Retry(part))
                _sequences.Suspect(part.Run);
            Settle(part.Run);
        }
    }

    private void Fail(Flight flight, StageFailureException error)
    {
        foreach (var part in flight.Parts)
        {
            part.Run.Fail(part, error);
            Settle(part.Run);
        }
    }

    private void Settle(SequenceRun run)
    {
        if (run.Ended || run.Left)
        {
            _sequences.Remove(run);
            Replayed(run);
        }

        if (run is { Left: true, InFlight: 0 })
            run.Drain();
    }

    private void LetIn()
    {
        while (_comers.TryDequeue(out var comer))
        {
            if (!comer.Leaves)
            {
                comer.Run.Join(_sessions is null ? null : Share);
                _sequences.Add(comer.Run);
                continue;
            }

            comer.Run.Leave();
            Settle(comer.Run);
        }

        _sequences.ResumePaused();
    }

    private int Share(Session session, IReadOnlyList<int> prompt)
    {
        var (from, tokens) = (session, 0);
        foreach (var other in _sessions!())
        {
            var whole = other == session ? 0 : other.Reusable(prompt) / StageSpec.KvBlockTokens * StageSpec.KvBlockTokens;
            (from, tokens) = whole > tokens ? (other, whole) : (from, tokens);
        }

        // Its release, which another thread orders, comes behind.
        if (tokens == 0 || !from.TryPin())
            return 0;
        try
        {
            if (!_pipeline.TryFork(new Fork { Sequence = session.Sequence, From = from.Sequence, Tokens = tokens }))
                return 0;
            from.Share(tokens);
            session.Take(tokens);
            Counts.Shared(tokens);
            return tokens;
        }
        finally
        {
            from.Unpin();
        }
    }

    // Whether the pipeline has failed and another one comes.
    private bool IsReplaced => _kvLost is not null && _pipeline.Failed.IsCompleted;

    private void Suspend(Failure failure)
    {
        // Who is moved has not been part of what broke.
        var isLoss = failure.Code != FailureCode.Moved;
        var onTheirWay = _flights.SelectMany(flight => flight.Parts).Select(part => part.Run).Concat(_strays).ToHashSet();
        _flights.Clear();
        _strays.Clear();
        _suspended = true;
        foreach (var run in _sequences.Clear())
        {
            onTheirWay.Remove(run);
            if (run.Rewind(MostLosses, isLoss))
                _sequences.AddAgain(run);
            else
                Abandon(run, FailureAdvice.For(Repeated(failure)));
        }

        // Those that have ended, or whose consumers have left, only waited for their last steps.
        foreach (var run in onTheirWay)
        {
            run.Rewind(MostLosses, isLoss);
            Settle(run);
        }

        EndReplay();
        _kvLost!();
    }

    private void Resume()
    {
        if (Interlocked.Exchange(ref _coming, null) is not { } resumption)
            return;
        _pipeline = resumption.Pipeline;
        _stages = _pipeline.Placement.Stages.Count;
        _balance = new StageBalance(_stages);
        _suspended = false;
        _resumption = resumption;
        resumption.KeptTokens = Keep(resumption.Kept);
        var replaying = _sequences.All.Where(run => run is { Replays: true, IsBehind: false }).ToList();
        (resumption.Sequences, resumption.Tokens) = (replaying.Count, replaying.Sum(run => run.Waiting));
        _replaying.UnionWith(replaying);
        if (_replaying.Count == 0)
            EndReplay();
    }

    private int Keep(IReadOnlyDictionary<long, IReadOnlyList<int>> kept)
    {
        var (unwanted, sum) = (kept.Keys.ToHashSet(), 0);
        foreach (var run in _sequences.All)
        {
            if (!kept.TryGetValue(run.Session.Sequence, out var tokens) || run.Keep(tokens) is not (> 0 and var count))
                continue;
            unwanted.Remove(run.Session.Sequence);
            sum += count;
        }

        // Those that have ended or left meanwhile: nobody else knows that the new stages have them.
        if (unwanted.Count > 0)
            _ = _pipeline.ReleaseAsync([.. unwanted], CancellationToken.None).ContinueWith(
                release => release.Exception, TaskScheduler.Default);
        return sum;
    }

    private void Replayed(SequenceRun run)
    {
        if (_replaying.Remove(run) && _replaying.Count == 0)
            EndReplay();
    }

    private void EndReplay()
    {
        _replaying.Clear();
        _resumption?.Replayed.TrySetResult(new ReplayCounts(_resumption.Sequences, _resumption.Tokens, _resumption.KeptTokens));
        _resumption = null;
    }

    private void FailAll(StageFailureException error)
    {
        // Nothing comes back from a pipeline that has failed.
        var lost = _flights.SelectMany(flight => flight.Parts).Select(part => part.Run).ToList();
        _flights.Clear();
        foreach (var run in lost.Concat(_sequences.Clear()).Distinct())
            Abandon(run, error);
    }

    private void EndComers()
    {
        while (_comers.TryDequeue(out var comer))
            Abandon(comer.Run, new OperationCanceledException("the coordinator is stopping"));
    }

    private static void Abandon(SequenceRun run, Exception error)
    {
        run.Fail(error);
        run.Drain(abandoned: true);
    }

    /// <summary>Another pipeline, and what has to be computed again on it.</summary>
    private sealed class Resumption(Pipeline pipeline, IReadOnlyDictionary<long, IReadOnlyList<int>> kept)
    {
        public Pipeline Pipeline => pipeline;

        public IReadOnlyDictionary<long, IReadOnlyList<int>> Kept => kept;

        public int KeptTokens { get; set; }

        public TaskCompletionSource<ReplayCounts> Replayed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Sequences { get; set; }

        public int Tokens { get; set; }
    }

    private static Failure Repeated(Failure failure)
    {
        var repeated = failure.Clone();
        repeated.Message += $"; the sequence was on its way when stages broke, {MostLosses + 1} times in a row";
        return repeated;
    }

    private static Failure Failure(FailureCode code, string message) =>
        new() { Code = code, Message = message, Worker = "coordinator", Stage = -1 };
}
