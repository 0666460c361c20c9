using System.Diagnostics;
using System.Threading.Channels;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Coordinator.Scheduling;
using Distributed.Core;

namespace Distributed.Coordinator.Recovery;

// Another placement because somebody asks for it: nothing has failed. The KV cache goes there from stage to stage or by replay, whichever
// should be faster.
public sealed partial class PipelineRecovery
{
    // One at a time: what a second one would be planned from is what the first one changes.
    private readonly Channel<Move> _moves = Channel.CreateBounded<Move>(1);
    private int _moving;

    /// <summary>Layers have been moved.</summary>
    public event Action<MoveReport>? Moved;

    /// <summary>Workers that no placement uses until they are asked back.</summary>
    public IReadOnlyList<string> Drained => _workers.Drained;

    /// <summary>Moves a worker's layers to the others, and uses it no more until <see cref="RebalanceAsync"/> asks it back.</summary>
    /// <param name="worker">Its name.</param>
    /// <param name="cancellation">Stops waiting; the move goes on.</param>
    /// <exception cref="InvalidInputException">There is no such worker.</exception>
    /// <exception cref="MoveRefusedException">The others cannot hold the model, with what is missing; or another move is under way.</exception>
    public Task<MoveReport> DrainAsync(string worker, CancellationToken cancellation) =>
        AskAsync([.. Drained.Append(Known(worker)).Distinct()], cancellation);

    /// <summary>Places the model anew, on the workers that answer now and are not drained.</summary>
    /// <param name="worker">A worker that is asked back; null for none.</param>
    /// <param name="cancellation">Stops waiting; the move goes on.</param>
    /// <exception cref="InvalidInputException">There is no such worker.</exception>
    /// <exception cref="MoveRefusedException">The model cannot be placed, with what is missing; or another move is under way.</exception>
    public Task<MoveReport> RebalanceAsync(string? worker, CancellationToken cancellation) =>
        AskAsync([.. Drained.Where(name => worker is null || name != Known(worker))], cancellation);

    private string Known(string worker) => _config.Workers.Any(known => known.Name == worker) ? worker : throw new InvalidInputException(
        "worker", worker, $"is no worker of this cluster, which has {string.Join(", ", _config.Workers.Select(known => known.Name))}");

    private async Task<MoveReport> AskAsync(IReadOnlyList<string> drained, CancellationToken cancellation)
    {
        if (Interlocked.Exchange(ref _moving, 1) == 1)
            throw new MoveRefusedException("another drain or rebalance is under way: ask again when it is done");
        var move = new Move(drained);
        _ = move.Done.Task.ContinueWith(_ => Interlocked.Exchange(ref _moving, 0), TaskScheduler.Default);
        _moves.Writer.TryWrite(move);
        return await move.Done.Task.WaitAsync(cancellation);
    }

    private async Task<Pipeline> MoveAsync(Pipeline pipeline, Move move)
    {
        var before = _workers.Drained;
        try
        {
            return await MoveCoreAsync(pipeline, move);
        }
        catch (Exception error) when (error is InvalidInputException or StageFailureException or TimeoutException or IOException or OrleansException)
        {
            // What was at work is at work still.
            _workers.Drained = before;
            move.Done.TrySetException(new MoveRefusedException(error.Message, error));
            return pipeline;
        }
        catch
        {
            move.Done.TrySetCanceled();
            throw;
        }
    }

    private async Task<Pipeline> MoveCoreAsync(Pipeline pipeline, Move move)
    {
        var (started, before) = (Stopwatch.GetTimestamp(), _workers.Drained);
        _workers.Drained = move.Drained;
        var (placement, fitsBeside) = await PlanAnewAsync(pipeline);
        var planning = Stopwatch.GetElapsedTime(started);
        var report = new MoveReport(
            pipeline.Epoch, false, [.. placement.Stages.Select(Describe)], move.Drained, fitsBeside, planning.TotalMilliseconds, 0, null, 0, 0, null, null);
        if (placement.Stages.Select(Describe).SequenceEqual(pipeline.Placement.Stages.Select(Describe)))
        {
            // Who is drained is to be known to the next coordinator, too.
            await _adopt(pipeline, _stopping.Token);
            move.Done.TrySetResult(report);
            return pipeline;
        }

        var epoch = await _beginEpoch(_stopping.Token);
        var moved = new Failure { Code = FailureCode.Moved, Message = "the layers are moved", Worker = "coordinator", Stage = -1 };
        var stood = Stopwatch.GetTimestamp();
        Pipeline next;
        if (fitsBeside)
        {
            next = await StartAsync(placement, epoch);
            stood = Stopwatch.GetTimestamp();
            pipeline.Fail(moved);
        }
        else
        {
            pipeline.Fail(moved);
            await pipeline.RetireAsync(null, _config.FailureTimeout);
            _workers.Forget(pipeline);
            try
            {
                next = await StartAsync(placement, epoch);
            }
            catch (StageFailureException error)
            {
                _workers.Drained = before;
                move.Done.TrySetException(new MoveRefusedException($"the new stages did not load ({error.Message}); others are looked for", error));
                return await RecoverAsync(pipeline, error.Failure);
            }
        }

        var loading = Stopwatch.GetElapsedTime(started) - planning;
        try
        {
            await AdoptAsync(next);
        }
        catch (Exception error) when (error is TimeoutException or OrleansException or IOException)
        {
            _workers.Drained = before;
            move.Done.TrySetException(new MoveRefusedException($"the new placement could not be put on record ({error.Message})", error));
            return await RecoverAsync(pipeline, moved);
        }

        var predicted = placement.Costs is { } costs
            ? _scheduler.RunningTokens.Where(tokens => tokens > 0).Sum(tokens => costs.Prefill(0, tokens).TokenMs) : (double?)null;
        report = report with
        {
            Epoch = epoch,
            IsMoved = true,
            LoadingMs = loading.TotalMilliseconds,
            PredictedReplayMs = predicted,
        };
        IReadOnlyDictionary<long, IReadOnlyList<int>>? kept = null;
        // Stages that failed by themselves meanwhile have nothing to fetch.
        if (fitsBeside && (await pipeline.Failed).Code == FailureCode.Moved)
            (report, kept) = await MigrateAsync(pipeline, next, report);
        var loaded = Stopwatch.GetTimestamp();
        var replayed = _scheduler.Steps.ResumeAsync(next, kept);
        _ = EndAsync(pipeline, next, move, replayed, loaded, stood, report);
        return next;
    }

    // Whatever keeps the KV cache from being moved, it can be computed again.
    private async Task<(MoveReport Report, IReadOnlyDictionary<long, IReadOnlyList<int>>? Kept)> MigrateAsync(
        Pipeline old, Pipeline next, MoveReport report)
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            var plan = await KvMove.PlanAsync(old, next, _config, _workers.Links, _scheduler.RunningSequences, _stopping.Token);
            if (plan is null)
                return (report, null);
            report = report with { PredictedMigrationMs = plan.PredictedMs };
            if (!(plan.PredictedMs < report.PredictedReplayMs))
                return (report, null);
            await plan.RunAsync(_stopping.Token);
            return (report with { MigratingMs = Stopwatch.GetElapsedTime(started).TotalMilliseconds }, plan.Tokens);
        }
#pragma warning disable CA1031 // The new stages are on record and the old ones have ended: there is no way but on.
        catch (Exception error) when (!_stopping.IsCancellationRequested)
#pragma warning restore CA1031
        {
            return (report with { NotMigrated = error.Message }, null);
        }
    }

    // A worker that does not answer is waited for. Where it is the one at work, streams need not wait with the plan.
    private async Task<(Placement Placement, bool FitsBeside)> PlanAnewAsync(Pipeline pipeline)
    {
        using var given = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
        var planning = _workers.PlanAnewAsync(pipeline, given.Token);
        if (await Task.WhenAny(planning, pipeline.Failed) == planning)
            return await planning;
        await given.CancelAsync();
        await ((Task)planning).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stopping.Token.ThrowIfCancellationRequested();
        throw new StageFailureException((await pipeline.Failed).Clone());
    }

    private Task<Pipeline> StartAsync(Placement placement, long epoch) =>
        Pipeline.StartAsync(_model, _config, placement, epoch, progress: null, resumesSending: false, _stopping.Token);

    private async Task EndAsync(
        Pipeline old, Pipeline next, Move move, Task<ReplayCounts> replayed, long loaded, long stood, MoveReport report)
    {
        await Task.WhenAny(replayed, next.Failed);
        if (replayed.IsCompletedSuccessfully && !next.Failed.IsCompleted)
        {
            var (sequences, tokens, kept) = await replayed;
            report = report with
            {
                Sequences = sequences,
                ReplayedTokens = tokens,
                MigratedTokens = kept,
                ReplayingMs = Stopwatch.GetElapsedTime(loaded).TotalMilliseconds,
                GapMs = Stopwatch.GetElapsedTime(stood).TotalMilliseconds,
            };
        }

        await old.RetireAsync(null, _config.FailureTimeout);
        Moved?.Invoke(report);
        move.Done.TrySetResult(report);
    }

    private sealed record Move(IReadOnlyList<string> Drained)
    {
        public TaskCompletionSource<MoveReport> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
