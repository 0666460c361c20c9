using Distributed.Coordinator.Scheduling;

namespace Distributed.Coordinator.Tests.Scheduling;

public sealed class CancellationTests(CancellationTests.Fixture fixture) : IClassFixture<CancellationTests.Fixture>
{
    private readonly RunningCluster _cluster = fixture.Cluster;

    private GenerationRequest Long => _cluster.Ask(RunningCluster.Story) with { IgnoreEnd = true };

    [Fact]
    public async Task Cancelling_in_the_middle_of_decode_frees_the_KV_on_every_stage()
    {
        using var cancel = new CancellationTokenSource();
        var seen = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in _cluster.Host.Scheduler.Generate(Long, cancel.Token))
            {
                if (++seen == 5)
                {
                    Assert.All(await _cluster.ReportAsync(), stage => Assert.Single(stage.Sequences));
                    await cancel.CancelAsync();
                }
            }
        });

        Assert.Equal(5, seen);
        await _cluster.EmptyAsync();
    }

    [Fact]
    public async Task Cancelling_in_the_middle_of_prefill_frees_the_KV_on_every_stage()
    {
        var request = new GenerationRequest { Tokens = [.. Enumerable.Repeat(5, 400)], Sampling = RunningCluster.Greedy, IgnoreEnd = true };
        using var cancel = new CancellationTokenSource();
        var running = _cluster.GenerateAsync(request, cancel.Token);
        while (!running.IsCompleted && (await _cluster.ReportAsync()).All(stage => stage.Sequences.Count == 0))
            await Task.Yield();
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        await _cluster.EmptyAsync();
    }

    [Fact]
    public async Task Leaving_an_answer_early_frees_the_KV_on_every_stage_before_the_loop_is_left()
    {
        await foreach (var _ in _cluster.Host.Scheduler.Generate(Long, default))
            break;

        Assert.All(await _cluster.ReportAsync(), stage => Assert.Equal((stage.Blocks, 0), (stage.FreeBlocks, stage.Sequences.Count)));
    }

    [Fact]
    public async Task Cancelling_while_waiting_leaves_the_queue_and_harms_nobody()
    {
        await using var first = _cluster.Host.Scheduler.Generate(Long, default).GetAsyncEnumerator();
        await using var second = _cluster.Host.Scheduler.Generate(Long, default).GetAsyncEnumerator();
        Assert.True(await first.MoveNextAsync());
        Assert.True(await second.MoveNextAsync());
        using var cancel = new CancellationTokenSource();
        var third = _cluster.GenerateAsync(Long, cancel.Token);
        await Task.Delay(50);
        Assert.False(third.IsCompleted);

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => third);
        Assert.True(await first.MoveNextAsync());
        Assert.True(await second.MoveNextAsync());
    }

    [Fact]
    public async Task A_request_beyond_the_queue_is_refused_with_the_numbers()
    {
        await using var first = _cluster.Host.Scheduler.Generate(Long, default).GetAsyncEnumerator();
        await using var second = _cluster.Host.Scheduler.Generate(Long, default).GetAsyncEnumerator();
        Assert.True(await first.MoveNextAsync());
        Assert.True(await second.MoveNextAsync());
        using var cancel = new CancellationTokenSource();
        var waiting = _cluster.GenerateAsync(Long, cancel.Token);

        var refused = await Assert.ThrowsAsync<QueueFullException>(() => _cluster.GenerateAsync(Long));

        Assert.Contains("2 requests are running and 1 wait for a place, of at most 1", refused.Message);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    [Fact]
    public async Task Stopping_the_coordinator_ends_a_running_request()
    {
        await using var cluster = await RunningCluster.StartAsync(workers: 1);
        var request = cluster.Ask(RunningCluster.Story) with { IgnoreEnd = true };
        await using var tokens = cluster.Host.Scheduler.Generate(request, default).GetAsyncEnumerator();
        Assert.True(await tokens.MoveNextAsync());

        await cluster.Host.DisposeAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            while (await tokens.MoveNextAsync())
            {
            }
        });
    }

    public sealed class Fixture : IAsyncLifetime
    {
        internal RunningCluster Cluster { get; private set; } = null!;

        public async Task InitializeAsync() => Cluster = await RunningCluster.StartAsync(
            change: config => config with { MaxBatchTokens = 16, Sequences = 2, MaxWaiting = 1 });

        public async Task DisposeAsync() => await Cluster.DisposeAsync();
    }
}
