using System.Diagnostics;
using Distributed.Coordinator.Recovery;
using Distributed.Coordinator.Scheduling;
using Distributed.Core.Sampling;
using Xunit.Abstractions;

namespace Distributed.Coordinator.Tests.Recovery;

public sealed class LostWorkerTests(ITestOutputHelper output)
{
    private const int Length = 150;

    [Theory]
    [InlineData("KILL", 1, 0)]
    [InlineData("KILL", 1, 1)]
    [InlineData("KILL", 1, 2)]
    [InlineData("KILL", 8, 1)]
    [InlineData("STOP", 1, 0)]
    [InlineData("STOP", 1, 2)]
    [InlineData("STOP", 8, 1)]
    public async Task Streams_go_on_with_the_tokens_of_an_undisturbed_run(string signal, int sequences, int lost)
    {
        await using var cluster = await RunningCluster.StartAsync(change: config => config with
        {
            Sequences = 8,
            Context = 512,
            FailureTimeout = signal == "STOP" ? RunningCluster.ShortFailureTimeout : config.FailureTimeout,
        });
        var requests = Requests(cluster, sequences);
        var undisturbed = await Task.WhenAll(requests.Select(cluster.IdsAsync));
        var first = cluster.Host.Pipeline;

        var running = requests.Select(request => new Reading(cluster.Host.Scheduler.Generate(request, default))).ToList();
        foreach (var reading in running)
            await reading.HasAsync(5);
        var worker = cluster.Workers.Workers[lost];
        var killed = Stopwatch.GetTimestamp();
        await Signal.SendAsync(signal, worker.Process);
        await first.Failed.WaitAsync(RunningCluster.Patience);
        var noticed = Stopwatch.GetElapsedTime(killed);
        Assert.All(running, reading => Assert.False(reading.HasEnded));

        foreach (var (reading, expected) in running.Zip(undisturbed))
            Assert.Equal(expected, await reading.ToEndAsync());
        var report = await ReportAsync(cluster.Host);
        output.WriteLine($"{signal}, {sequences} sequences: noticed after {noticed.TotalMilliseconds:0} ms; {report}");
        Assert.Equal((worker.Name, first.Epoch + 1, sequences), (report.Worker, report.Epoch, report.Sequences));
        Assert.DoesNotContain(cluster.Host.Placement.Stages, stage => stage.Worker == worker.Name);
        Assert.InRange(noticed, TimeSpan.Zero, TimeSpan.FromSeconds(signal == "STOP" ? 6 : 4));
        Assert.Equal("ready", cluster.Host.Condition.State);
        // What those that ended held is free again, on the new stages too.
        await cluster.EmptyAsync();
        await Signal.SendAsync("CONT", worker.Process);
    }

    [Fact]
    public async Task Workers_lost_while_another_one_is_being_replaced_and_while_tokens_are_computed_again_are_replaced_too()
    {
        await using var cluster = await RunningCluster.StartAsync(workers: 4, change: config => config with { Sequences = 8, Context = 512 });
        var requests = Requests(cluster, 8);
        var undisturbed = await Task.WhenAll(requests.Select(cluster.IdsAsync));
        cluster.Host.Recovery.Interrupted += _ => cluster.Workers.Workers[2].Process.Kill();

        var running = requests.Select(request => new Reading(cluster.Host.Scheduler.Generate(request, default))).ToList();
        foreach (var reading in running)
            await reading.HasAsync(5);
        cluster.Workers.Workers[1].Process.Kill();
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while (cluster.Host.Pipeline.Epoch == 1)
            await Task.Delay(1, timeout.Token);
        cluster.Workers.Workers[0].Process.Kill();

        foreach (var (reading, expected) in running.Zip(undisturbed))
            Assert.Equal(expected, await reading.ToEndAsync());
        foreach (var report in cluster.Host.Recovery.Reports)
            output.WriteLine($"{report}");
        Assert.Equal("worker-3", Assert.Single(cluster.Host.Placement.Stages).Worker);
    }

    [Fact]
    public async Task A_prompt_that_is_being_computed_and_one_that_waits_for_a_place_are_answered_too()
    {
        await using var cluster = await RunningCluster.StartAsync(change: config => config with { Sequences = 1, MaxBatchTokens = 8 });
        var random = new Random(5);
        var request = new GenerationRequest
        {
            Tokens = [.. Enumerable.Range(0, 450).Select(_ => random.Next(10, 1000))],
            Sampling = RunningCluster.Greedy,
            MaxTokens = 20,
            IgnoreEnd = true,
        };
        var undisturbed = await cluster.IdsAsync(request);
        var sent = cluster.Host.Scheduler.Counts.Steps;
        var running = new[] { cluster.IdsAsync(request), cluster.IdsAsync(request) };
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while (cluster.Host.Scheduler.Counts.Steps < sent + 10)
            await Task.Delay(1, timeout.Token);

        cluster.Workers.Workers[0].Process.Kill();

        Assert.All(await Task.WhenAll(running), ids => Assert.Equal(undisturbed, ids));
        Assert.Equal(2, cluster.Host.Pipeline.Epoch);
    }

    [Fact]
    public async Task A_session_keeps_its_tokens_and_says_where_its_KV_cache_lies_now()
    {
        await using var cluster = await RunningCluster.StartAsync();
        var request = cluster.Ask("Hello!") with { Session = "talk" };
        var ids = await cluster.IdsAsync(request);
        cluster.Workers.Workers[1].Process.Kill();
        await ReportAsync(cluster.Host);

        var (again, generation) = await cluster.GenerateAsync(request);

        Assert.Equal(ids, again.Select(token => token.Id));
        Assert.Equal(0, generation.Statistics.ReusedTokens);
        Assert.True((await cluster.GenerateAsync(request)).Generation.Statistics.ReusedTokens > 0);
        var record = await cluster.RecordAsync("talk");
        Assert.Equal((cluster.Host.Pipeline.Name, 2L), (record.Pipeline, record.Epoch));
        Assert.Equal(["worker-0", "worker-2"], record.Stages.Select(stage => stage.Worker));
    }

    [Fact]
    public async Task A_request_that_is_cancelled_while_it_waits_for_another_pipeline_leaves_nothing()
    {
        await using var cluster = await RunningCluster.StartAsync();
        var kept = new Reading(cluster.Host.Scheduler.Generate(Requests(cluster, 1)[0], default));
        using var cancel = new CancellationTokenSource();
        var left = new Reading(cluster.Host.Scheduler.Generate(Requests(cluster, 2)[1], cancel.Token));
        await kept.HasAsync(3);
        await left.HasAsync(3);
        cluster.Host.Recovery.Interrupted += _ => cancel.Cancel();

        cluster.Workers.Workers[2].Process.Kill();

        await kept.ToEndAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(left.ToEndAsync);
        await cluster.EmptyAsync();
    }

    [Fact]
    public async Task A_worker_that_is_asked_to_stop_says_so_and_others_take_over()
    {
        await using var cluster = await RunningCluster.StartAsync();
        var pipeline = cluster.Host.Pipeline;
        await Signal.SendAsync("TERM", cluster.Workers.Workers[1].Process);

        var failure = await pipeline.Failed.WaitAsync(RunningCluster.Patience);
        await ReportAsync(cluster.Host);

        Assert.Equal(Cluster.Protocol.FailureCode.WorkerStopping, failure.Code);
        Assert.Equal("worker-1", failure.Worker);
        Assert.Equal(["worker-0", "worker-2"], cluster.Host.Placement.Stages.Select(stage => stage.Worker));
    }

    internal static async Task<RecoveryReport> ReportAsync(CoordinatorHost host)
    {
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while (host.Recovery.Reports.Count == 0)
            await Task.Delay(10, timeout.Token);
        return host.Recovery.Reports[^1];
    }

    // Greedy ones and sampled ones with a seed, with and without a penalty that looks at what was drawn.
    internal static List<GenerationRequest> Requests(RunningCluster cluster, int count) => [.. Enumerable.Range(0, count).Select(i =>
        cluster.Ask($"Tell me story {i} about a fox.") with
        {
            Sampling = i % 2 == 1
                ? RunningCluster.Greedy
                : new SamplingOptions { Temperature = 0.9f, Seed = (ulong)(40 + i), RepeatPenalty = i % 4 == 0 ? 1.2f : 1 },
            MaxTokens = Length,
            IgnoreEnd = true,
        })];
}
