using System.Diagnostics;
using System.Runtime.CompilerServices;
using Distributed.Coordinator.Planning;

namespace Distributed.Coordinator.Scheduling;

/// <summary>
/// A request's tokens as they are drawn. It begins when it is enumerated, which can be done once; leaving the enumeration
/// early, or cancelling it, ends the request.
/// </summary>
public sealed class Generation : IAsyncEnumerable<GeneratedToken>
{
    private readonly Scheduler _scheduler;
    private readonly GenerationRequest _request;
    private readonly CancellationToken _cancellation;
    private int _enumerated;

    internal Generation(Scheduler scheduler, GenerationRequest request, Placement placement, CancellationToken cancellation)
    {
        _scheduler = scheduler;
        _request = request;
        _cancellation = cancellation;
        Statistics = new GenerationStatistics(request.Tokens.Count, placement);
    }

    /// <summary>Where the time goes; complete when the enumeration has ended.</summary>
    public GenerationStatistics Statistics { get; }

    /// <summary>Why it ended; null while it goes on, and when its consumer ended it.</summary>
    public FinishReason? FinishReason { get; private set; }

    /// <inheritdoc/>
    /// <exception cref="QueueFullException">On the first step: too many requests wait already.</exception>
    /// <exception cref="Cluster.StageFailureException">A stage failed; the message says what to do.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public IAsyncEnumerator<GeneratedToken> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref _enumerated, 1) != 0)
            throw new InvalidOperationException("a generation can be enumerated once");
        return RunAsync(_cancellation).GetAsyncEnumerator(cancellationToken);
    }

    private async IAsyncEnumerable<GeneratedToken> RunAsync([EnumeratorCancellation] CancellationToken consumer)
    {
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(consumer, _scheduler.Stopping);
        var cancellation = linked.Token;
        var started = Stopwatch.GetTimestamp();
        var place = await _scheduler.EnterAsync(_request, cancellation);
        var run = _scheduler.Run(place.Session, _request);
        try
        {
            Statistics.WaitingTime = Stopwatch.GetElapsedTime(started);
            foreach (var id in run.Recorded)
            {
                Statistics.RecordedTokens++;
                FinishReason = _scheduler.Judge(_request, id, ++Statistics.GeneratedTokens);
                yield return new GeneratedToken(id, float.NaN, [], SharedStep.None, TimeSpan.Zero, FinishReason);
                if (FinishReason is not null)
                    yield break;
            }

            var prefill = Stopwatch.GetTimestamp();
            _scheduler.Steps.Join(run);
            while (FinishReason is null)
            {
                var token = await run.NextAsync(_scheduler.Steps, cancellation);
                if (Statistics.GeneratedTokens++ == run.Recorded.Count)
                    (Statistics.PrefillTime, Statistics.ReusedTokens) =
                        (Stopwatch.GetElapsedTime(prefill), Math.Min(run.ReusedTokens, Statistics.PromptTokens));
                else
                    Statistics.AddDecodeStep(token.Timings, token.StepTime);
                FinishReason = token.FinishReason;
                yield return token;
            }
        }
        finally
        {
            var ended = _scheduler.EndAsync(place, run);
            // Who waits for the end finds the KV released; who cancels does not want to wait.
            if (!cancellation.IsCancellationRequested)
                await ended.WaitAsync(Scheduler.EndTimeout, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
