using Distributed.Cluster;
using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Tests.Scheduling;

public sealed class LostWorkerTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task When_a_worker_is_killed_the_request_ends_with_advice_and_new_ones_are_refused_with_the_same(int worker)
    {
        await using var cluster = await RunningCluster.StartAsync();
        var request = cluster.Ask(RunningCluster.Story) with { IgnoreEnd = true };
        await using var tokens = cluster.Host.Scheduler.Generate(request, default).GetAsyncEnumerator();
        Assert.True(await tokens.MoveNextAsync());

        cluster.Workers.Workers[worker].Process.Kill();

        var lost = await Assert.ThrowsAsync<StageFailureException>(async () =>
        {
            while (await tokens.MoveNextAsync().AsTask().WaitAsync(RunningCluster.Patience))
            {
            }
        });
        Assert.Contains("start the coordinator again", lost.Message);
        Assert.Equal($"worker-{worker}", lost.Failure.Worker);
        await cluster.Host.Pipeline.Failed.WaitAsync(RunningCluster.Patience);
        var refused = await Assert.ThrowsAsync<StageFailureException>(() => cluster.GenerateAsync(request));
        Assert.Contains("start the coordinator again", refused.Message);
    }

    [Fact]
    public async Task A_worker_that_is_asked_to_stop_says_so()
    {
        await using var cluster = await RunningCluster.StartAsync();
        using var terminate = System.Diagnostics.Process.Start("kill", ["-TERM", $"{cluster.Workers.Workers[1].Process.Id}"]);

        var failure = await cluster.Host.Pipeline.Failed.WaitAsync(RunningCluster.Patience);

        Assert.Equal(FailureCode.WorkerStopping, failure.Code);
        Assert.Equal("worker-1", failure.Worker);
    }
}
