using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Coordinator.Scheduling;
using Distributed.Coordinator.Tests.Weights;
using Distributed.Testing;
using Microsoft.Extensions.Logging;

namespace Distributed.Coordinator.Tests.Recovery;

/// <summary>Two workers, of which one alone cannot hold the model; the one that is lost may come back.</summary>
public sealed class ReturningWorkerTests : IAsyncLifetime, IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly List<WorkerProcess> _workers = [];

    public async Task InitializeAsync()
    {
        foreach (var name in new[] { "a", "b" })
            _workers.Add(await WorkerProcess.StartAsync(name, _folder.Path(name), "--memory", "cpu=9MiB"));
    }

    public async Task DisposeAsync()
    {
        foreach (var worker in _workers)
            await worker.DisposeAsync();
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Streams_wait_for_a_worker_that_nothing_can_replace_and_go_on_when_it_is_back()
    {
        await using var host = await StartAsync(TimeSpan.FromSeconds(60));
        var request = Request(host);
        var undisturbed = await new Reading(host.Scheduler.Generate(request, default)).ToEndAsync();
        var reading = new Reading(host.Scheduler.Generate(request, default));
        await reading.HasAsync(5);

        await _workers[1].KillAsync();
        await Task.Delay(500);
        Assert.False(reading.HasEnded);
        Assert.Equal("recovering", host.Condition.State);
        await _workers[1].StartAsync();

        Assert.Equal(undisturbed, await reading.ToEndAsync());
        var report = await LostWorkerTests.ReportAsync(host);
        Assert.Equal(["a", "b"], host.Placement.Stages.Select(stage => stage.Worker));
        Assert.True(report.Attempts > 1);
        // The weights were in its store.
        Assert.Equal(0, host.Pipeline.BytesSent);
    }

    [Fact]
    public async Task After_the_stated_time_requests_fail_with_what_is_missing_until_the_worker_is_back()
    {
        await using var host = await StartAsync(TimeSpan.FromMilliseconds(300));
        var request = Request(host);
        var undisturbed = await new Reading(host.Scheduler.Generate(request, default)).ToEndAsync();
        var reading = new Reading(host.Scheduler.Generate(request, default));
        await reading.HasAsync(5);
        await _workers[0].KillAsync();

        var error = await Assert.ThrowsAsync<StageFailureException>(reading.ToEndAsync);
        Assert.Equal("a", error.Failure.Worker);
        Assert.Contains("0.3 s (recovery-timeout)", error.Message);
        Assert.Matches(@"needs .* MiB in one stage .* free are .* on b/cpu", error.Message);
        Assert.Equal("failed", host.Condition.State);
        await Assert.ThrowsAsync<StageFailureException>(new Reading(host.Scheduler.Generate(request, default)).ToEndAsync);

        await _workers[0].StartAsync();
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while (host.Condition.State != "ready")
            await Task.Delay(20, timeout.Token);
        Assert.Equal(undisturbed, await new Reading(host.Scheduler.Generate(request, default)).ToEndAsync());
    }

    private Task<CoordinatorHost> StartAsync(TimeSpan patience) => CoordinatorHost.StartAsync(
        new ClusterConfig
        {
            Model = Repository.SampleModel,
            SplitOverAll = true,
            Context = 256,
            Sequences = 1,
            FailureTimeout = RunningCluster.FailureTimeout,
            RecoveryTimeout = patience,
            Workers = [.. _workers.Select(worker => worker.Config)],
        },
        LogLevel.Warning,
        null,
        default);

    private static GenerationRequest Request(CoordinatorHost host) => new()
    {
        Tokens = host.EncodeChat([new Core.Chat.ChatMessage("user", RunningCluster.Story)]),
        Sampling = RunningCluster.Greedy,
        MaxTokens = 200,
        IgnoreEnd = true,
    };
}
