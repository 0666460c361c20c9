using System.Collections.Concurrent;
using System.Diagnostics;

namespace Distributed.Cli.Lab;

/// <summary>Does something to a cluster every few seconds while answers are coming. One worker at least is left alone at any time.</summary>
/// <param name="options">How long and how often.</param>
/// <param name="cluster">The cluster.</param>
/// <param name="streams">Its clients.</param>
/// <param name="done">Told of everything that was done, once its pause is known.</param>
internal sealed class SoakRun(SoakOptions options, SoakCluster cluster, SoakStreams streams, Action<SoakFault> done) : IDisposable
{
    // An answer's next piece may be on its way already when something fails.
    private static readonly TimeSpan PauseBegins = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(20);

    // Each kind as often as it stands here.
    private static readonly SoakKind[] Kinds =
    [
        SoakKind.KillWorker, SoakKind.KillWorker, SoakKind.KillWorker, SoakKind.StopWorker, SoakKind.StopWorker, SoakKind.EndWorker,
        SoakKind.KillCoordinator, SoakKind.KillCoordinator, SoakKind.Drain, SoakKind.Rebalance, SoakKind.Cancel, SoakKind.Cancel,
    ];

    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly ConcurrentDictionary<SoakNode, bool> _away = [];
    private readonly List<Task> _busy = [];
    // One at a time: a second one would be refused.
    private readonly SemaphoreSlim _move = new(1);
    private volatile bool _coordinatorIsAway;

    /// <summary>Runs until the time is over, everything is back and the last answer has ended.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        using var stop = new CancellationTokenSource();
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var clients = Enumerable.Range(0, options.Streams)
            .Select(client => streams.RunAsync(client, new Random(HashCode.Combine(options.Seed, client)), stop.Token, failed.Token)).ToList();
        try
        {
            var random = new Random(options.Seed);
            while (_clock.Elapsed < TimeSpan.FromMinutes(options.Minutes))
            {
                await Task.Delay(TimeSpan.FromSeconds(options.Interval * (0.5 + random.NextDouble())), failed.Token);
                Begin(random, failed.Token);
                foreach (var ended in _busy.Where(task => task.IsCompleted).ToList())
                {
                    _busy.Remove(ended);
                    await ended;
                }
            }

            await stop.CancelAsync();
            await Task.WhenAll([.. _busy, .. clients]);
        }
        catch
        {
            await failed.CancelAsync();
            await Task.WhenAll([.. _busy, .. clients]).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _move.Dispose();

    private void Begin(Random random, CancellationToken cancellation)
    {
        var kind = Kinds[random.Next(Kinds.Length)];
        var down = TimeSpan.FromSeconds(options.Interval * random.NextDouble() * 2);
        var chosen = random.Next(int.MaxValue);
        var free = cluster.Workers.Where(worker => !_away.ContainsKey(worker)).ToList();
        var takesWorker = kind is SoakKind.KillWorker or SoakKind.StopWorker or SoakKind.EndWorker or SoakKind.Drain;
        if ((takesWorker && free.Count < 2) || (kind == SoakKind.KillCoordinator && _coordinatorIsAway))
            (kind, takesWorker) = (SoakKind.Cancel, false);
        var worker = takesWorker ? free[chosen % free.Count] : null;
        if (worker is not null)
            _away[worker] = true;
        _busy.Add(kind switch
        {
            SoakKind.KillCoordinator => KillCoordinatorAsync(cancellation),
            SoakKind.Rebalance => MoveAsync(kind, "", "/rebalance", null, cancellation),
            SoakKind.Cancel => CancelAsync(chosen, cancellation),
            SoakKind.Drain => DrainAsync(worker!, down, cancellation),
            _ => TakeAwayAsync(kind, worker!, down, cancellation),
        });
    }

    private async Task TakeAwayAsync(SoakKind kind, SoakNode worker, TimeSpan down, CancellationToken cancellation)
    {
        var fault = Started(kind, worker.Name, down);
        var told = TellAsync(fault, PauseBegins, isDone: true, cancellation);
        switch (kind)
        {
            case SoakKind.KillWorker:
                await worker.KillAsync();
                break;
            case SoakKind.StopWorker:
                await worker.SignalAsync("STOP");
                break;
            default:
                await worker.SignalAsync("TERM");
                if (!await worker.EndedAsync(EndPatience))
                    throw new IOException($"{worker.Name} did not end within {EndPatience.TotalSeconds} s of SIGTERM");
                break;
        }

        await Task.Delay(down, cancellation);
        if (kind == SoakKind.StopWorker)
            await worker.SignalAsync("CONT");
        else
            await cluster.StartAgainAsync(worker, cancellation);
        _away.TryRemove(worker, out _);
        await MoveAsync(SoakKind.Rebalance, $"{worker.Name} is back", "/rebalance", null, cancellation);
        await told;
    }

    private async Task KillCoordinatorAsync(CancellationToken cancellation)
    {
        _coordinatorIsAway = true;
        var told = TellAsync(Started(SoakKind.KillCoordinator, "", null), PauseBegins, isDone: true, cancellation);
        await cluster.KillCoordinatorAsync();
        await cluster.ServeAsync(cancellation);
        _coordinatorIsAway = false;
        await told;
    }

    private async Task DrainAsync(SoakNode worker, TimeSpan down, CancellationToken cancellation)
    {
        await MoveAsync(SoakKind.Drain, worker.Name, $"/drain?worker={worker.Name}", down, cancellation);
        await Task.Delay(down, cancellation);
        // Nobody else asks it back.
        while (!await MoveAsync(SoakKind.Rebalance, $"{worker.Name} is back", $"/rebalance?worker={worker.Name}", null, cancellation))
            await Task.Delay(Look, cancellation);
        _away.TryRemove(worker, out _);
    }

    private async Task<bool> MoveAsync(SoakKind kind, string target, string path, TimeSpan? down, CancellationToken cancellation)
    {
        await _move.WaitAsync(cancellation);
        try
        {
            var fault = Started(kind, target, down);
            var isDone = await cluster.PostAsync(path, cancellation);
            await TellAsync(fault, Stopwatch.GetElapsedTime(fault.At), isDone, cancellation);
            return isDone;
        }
        finally
        {
            _move.Release();
        }
    }

    private Task CancelAsync(int chosen, CancellationToken cancellation)
    {
        var running = streams.Running;
        if (running.Count == 0)
            return Task.CompletedTask;
        var fault = Started(SoakKind.Cancel, "", null);
        running[chosen % running.Count].Cancel();
        return TellAsync(fault, PauseBegins, isDone: true, cancellation);
    }

    private Injected Started(SoakKind kind, string target, TimeSpan? down) =>
        new(Stopwatch.GetTimestamp(), streams.Running, new SoakFault(
            _clock.Elapsed.TotalSeconds, kind, target, down?.TotalMilliseconds, streams.Running.Count, null, IsDone: false));

    // The pause is known once every answer that was coming has gone on, or ended.
    private async Task TellAsync(Injected fault, TimeSpan begins, bool isDone, CancellationToken cancellation)
    {
        var until = fault.At + (long)(begins.TotalSeconds * Stopwatch.Frequency);
        List<TimeSpan> pauses = [];
        foreach (var answer in fault.Answers)
        {
            TimeSpan? pause;
            while ((pause = answer.PauseBetween(fault.At, until)) is null)
                await Task.Delay(Look, cancellation);
            pauses.Add(pause.Value);
        }

        done(fault.Fault with { GapMs = pauses.Count > 0 ? pauses.Max().TotalMilliseconds : null, IsDone = isDone });
    }

    private sealed record Injected(long At, IReadOnlyList<SoakAnswer> Answers, SoakFault Fault);
}
