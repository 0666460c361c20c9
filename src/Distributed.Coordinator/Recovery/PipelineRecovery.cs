using System.Diagnostics;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Coordinator.Scheduling;
using Distributed.Core;

namespace Distributed.Coordinator.Recovery;

/// <summary>
/// Puts another pipeline in the place of one that failed: on the workers that are left, or on the same ones when they are back. What
/// fails meanwhile is one more failure to recover from. The scheduler's sequences wait, and go on with the tokens they had.
/// </summary>
public sealed partial class PipelineRecovery : IAsyncDisposable
{
    private const int MaxReports = 32;
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan UnexpectedInterval = TimeSpan.FromSeconds(5);

    private readonly ModelFile _model;
    private readonly ClusterConfig _config;
    private readonly Scheduler _scheduler;
    private readonly RemainingWorkers _workers;
    private readonly Func<CancellationToken, Task<long>> _beginEpoch;
    private readonly Func<Pipeline, CancellationToken, Task> _adopt;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Queue<RecoveryReport> _reports = new();
    private readonly Task _watching;
    private volatile string? _missing;

    /// <param name="first">The pipeline at work.</param>
    /// <param name="model">The model.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="survey">What was known of the cluster at the start.</param>
    /// <param name="scheduler">Whose sequences go on.</param>
    /// <param name="beginEpoch">A new epoch.</param>
    /// <param name="adopt">Takes over the pipeline of that epoch, before sequences go on, and puts on record who is drained.</param>
    /// <param name="drained">Workers that no placement may use until they are asked back.</param>
    internal PipelineRecovery(
        Pipeline first, ModelFile model, ClusterConfig config, ClusterSurvey survey, Scheduler scheduler,
        Func<CancellationToken, Task<long>> beginEpoch, Func<Pipeline, CancellationToken, Task> adopt, IReadOnlyList<string> drained)
    {
        (_model, _config, _scheduler, _beginEpoch, _adopt) = (model, config, scheduler, beginEpoch, adopt);
        _workers = new RemainingWorkers(model, config, survey) { Drained = drained };
        _watching = Task.Run(() => WatchAsync(first));
    }

    /// <summary>A pipeline has failed; sequences wait. Told once for every failure, with a line for people.</summary>
    public event Action<string>? Interrupted;

    /// <summary>Sequences have gone on.</summary>
    public event Action<RecoveryReport>? Recovered;

    /// <summary>Why requests are refused, what is missing; null while they are not.</summary>
    public string? Missing => _missing;

    /// <summary>The last recoveries, the latest at the end.</summary>
    public IReadOnlyList<RecoveryReport> Reports
    {
        get
        {
            lock (_reports)
                return [.. _reports];
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_moves.Reader.TryRead(out var move))
            move.Done.TrySetCanceled();
        _stopping.Dispose();
    }

    private async Task WatchAsync(Pipeline pipeline)
    {
        while (true)
        {
            await Task.WhenAny(pipeline.Failed, _moves.Reader.WaitToReadAsync(_stopping.Token).AsTask());
            _stopping.Token.ThrowIfCancellationRequested();
            try
            {
                if (pipeline.Failed.IsCompleted)
                    pipeline = await RecoverAsync(pipeline, await pipeline.Failed);
                else if (_moves.Reader.TryRead(out var move))
                    pipeline = await MoveAsync(pipeline, move);
            }
#pragma warning disable CA1031 // Whatever it is, sequences must not wait for ever for a recovery that has ended.
            catch (Exception error) when (!_stopping.IsCancellationRequested)
#pragma warning restore CA1031
            {
                pipeline.Fail(new Failure { Code = FailureCode.StageFailed, Message = error.Message, Worker = "coordinator", Stage = -1 });
                GiveUp(await pipeline.Failed, $"recovery failed: {error.Message}");
                await Task.Delay(UnexpectedInterval, _stopping.Token);
            }
        }
    }

    private async Task<Pipeline> RecoverAsync(Pipeline failed, Failure failure)
    {
        var first = failure;
        var (at, noticed) = (DateTimeOffset.UtcNow, Stopwatch.GetTimestamp());
        var lost = _workers.WorkerOf(failure);
        var noticing = (lost is null ? null : failed.SilenceOf(lost)) ?? TimeSpan.Zero;
        Interrupted?.Invoke($"{new StageFailureException(failure).Message}; requests wait for another pipeline");
        await failed.RetireAsync(failure.Code is FailureCode.HopLost or FailureCode.NextUnreachable ? lost : null, _config.FailureTimeout);
        _workers.Forget(failed);
        for (var attempt = 1; ; attempt++)
        {
            string missing;
            if (_moves.Reader.TryRead(out var move))
                move.Done.TrySetException(new MoveRefusedException($"the model is being placed anew already, after a failure: {first.Message}"));
            try
            {
                var placement = await _workers.PlanAsync(failure, _stopping.Token);
                var epoch = await _beginEpoch(_stopping.Token);
                var planned = Stopwatch.GetTimestamp();
                var pipeline = await StartAsync(placement, epoch);
                await AdoptAsync(pipeline);
                var loaded = Stopwatch.GetTimestamp();
                var replayed = _scheduler.Steps.ResumeAsync(pipeline);
                // Not before: until then requests are refused.
                _missing = null;
                _ = ReportAsync(pipeline, replayed, loaded, new RecoveryReport(
                    at, lost ?? first.Worker, first.Message, epoch, [.. placement.Stages.Select(Describe)], attempt, noticing.TotalMilliseconds,
                    Stopwatch.GetElapsedTime(noticed, planned).TotalMilliseconds, Stopwatch.GetElapsedTime(planned, loaded).TotalMilliseconds,
                    null, 0, 0));
                return pipeline;
            }
            catch (StageFailureException error)
            {
                // Another one failed meanwhile.
                missing = error.Message;
                failure = error.Failure;
            }
            catch (InvalidInputException error)
            {
                missing = error.Message;
            }
            catch (Exception error) when (error is TimeoutException or IOException || (error is OrleansException && !_stopping.IsCancellationRequested))
            {
                missing = error.Message;
            }

            if (_missing is not null || Stopwatch.GetElapsedTime(noticed) > _config.RecoveryTimeout)
                GiveUp(first, missing);
            await Task.Delay(RetryInterval, _stopping.Token);
        }
    }

    private async Task AdoptAsync(Pipeline pipeline)
    {
        try
        {
            await _adopt(pipeline, _stopping.Token);
        }
        catch
        {
            await pipeline.RetireAsync(null, _config.FailureTimeout);
            throw;
        }
    }

    private void GiveUp(Failure failure, string missing)
    {
        _missing = missing;
        var told = failure.Clone();
        told.Message = $"{failure.Message}; after {_config.RecoveryTimeout.TotalSeconds:0.#} s (recovery-timeout) the workers that are left "
            + $"cannot go on: {missing}; requests are taken again as soon as a worker is back";
        _scheduler.Steps.GiveUp(new StageFailureException(told));
    }

    private async Task ReportAsync(Pipeline pipeline, Task<ReplayCounts> replayed, long loaded, RecoveryReport report)
    {
        await Task.WhenAny(replayed, pipeline.Failed);
        if (replayed.IsCompletedSuccessfully)
        {
            var (sequences, tokens, _) = await replayed;
            var time = pipeline.Failed.IsCompleted ? (double?)null : Stopwatch.GetElapsedTime(loaded).TotalMilliseconds;
            report = report with { ReplayingMs = time, Sequences = sequences, ReplayedTokens = tokens };
        }

        lock (_reports)
        {
            if (_reports.Count == MaxReports)
                _reports.Dequeue();
            _reports.Enqueue(report);
        }

        Recovered?.Invoke(report);
    }

    private static string Describe(StagePlacement stage) =>
        $"{stage.Worker}/{stage.Device} {stage.Spec.FirstLayer}-{stage.Spec.EndLayer - 1}";
}
