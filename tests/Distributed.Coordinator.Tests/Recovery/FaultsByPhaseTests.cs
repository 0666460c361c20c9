using Distributed.Cluster;
using Distributed.Coordinator.Scheduling;
using Xunit.Abstractions;

namespace Distributed.Coordinator.Tests.Recovery;

/// <summary>
/// What fails when: those pairs that no other test has. The other ones, and where they are, stand in the README under "Faults".
/// </summary>
public sealed class FaultsByPhaseTests(ITestOutputHelper output)
{
    private const string Victim = "worker-1";

    [Theory]
    [InlineData("stop", "prefill", 8)]
    [InlineData("cut", "prefill", 8)]
    [InlineData("corrupt", "prefill", 1)]
    [InlineData("cut between workers", "decode", 8)]
    [InlineData("corrupt", "decode", 8)]
    [InlineData("cut", "replanning", 1)]
    [InlineData("stop", "replanning", 1)]
    [InlineData("cut", "replay", 1)]
    [InlineData("stop", "replay", 8)]
    [InlineData("corrupt", "replay", 1)]
    public async Task Streams_go_on_with_the_tokens_of_an_undisturbed_run(string fault, string phase, int sequences)
    {
        CutPort? port = null;
        DamagingPort? damaging = null;
        await using var cluster = await RunningCluster.StartAsync(workers: 4, change: config =>
        {
            var address = config.Workers[1].Address;
            address = fault == "corrupt" ? (damaging = new DamagingPort(address)).Address : (port = new CutPort(address)).Address;
            return config with
            {
                Sequences = 8,
                Context = 512,
                FailureTimeout = fault == "corrupt" ? config.FailureTimeout : RunningCluster.ShortFailureTimeout,
                MaxBatchTokens = phase == "prefill" ? 8 : config.MaxBatchTokens,
                Workers = [config.Workers[0], config.Workers[1] with { Address = address }, .. config.Workers.Skip(2)],
            };
        });
        using var first = port;
        using var second = damaging;
        var requests = phase == "prefill" ? Prompts(sequences) : LostWorkerTests.Requests(cluster, sequences);
        // Long enough to be at work still when the second fault comes.
        if (phase == "replay")
            requests = [.. requests.Select(request => request with { MaxTokens = 300 })];
        var undisturbed = await Task.WhenAll(requests.Select(cluster.IdsAsync));
        var steps = cluster.Host.Scheduler.Counts.Steps;
        if (phase == "replanning")
            cluster.Host.Recovery.Interrupted += _ => CauseAsync().Wait(RunningCluster.Patience);

        var running = requests.Select(request => new Reading(cluster.Host.Scheduler.Generate(request, default))).ToList();
        if (phase == "prefill")
            await UntilAsync(() => cluster.Host.Scheduler.Counts.Steps >= steps + 5);
        else
            await Task.WhenAll(running.Select(reading => reading.HasAsync(5)));
        if (phase is "replanning" or "replay")
            cluster.Workers.Workers[3].Process.Kill();
        if (phase == "replay")
            await UntilAsync(() => cluster.Host.Pipeline.Epoch > 1);
        if (phase != "replanning")
            await CauseAsync();

        foreach (var (reading, expected) in running.Zip(undisturbed))
            Assert.Equal(expected, await reading.ToEndAsync());
        await UntilAsync(() => cluster.Host.Condition.State == "ready");
        foreach (var report in cluster.Host.Recovery.Reports)
            output.WriteLine($"{report}");
        Assert.True(cluster.Host.Pipeline.Epoch > (phase == "replay" ? 2 : 1));
        if (damaging is not null)
            Assert.Equal(1, damaging.Damaged);
        else
            Assert.DoesNotContain(cluster.Host.Placement.Stages, stage => stage.Worker == Victim);
        await cluster.EmptyAsync();
        await Signal.SendAsync("CONT", cluster.Workers.Workers[1].Process);

        async Task CauseAsync()
        {
            if (fault == "stop")
                await Signal.SendAsync("STOP", cluster.Workers.Workers[1].Process);
            else if (fault == "cut")
                port!.Cut();
            else if (fault == "corrupt")
                damaging!.Do(Damage.Bit);
            else
                port!.CutHop();
        }
    }

    [Fact]
    public async Task Bytes_that_come_late_but_come_are_no_loss()
    {
        CutPort? port = null;
        await using var cluster = await RunningCluster.StartAsync(change: config =>
        {
            port = new CutPort(config.Workers[1].Address);
            return config with { Workers = [config.Workers[0], config.Workers[1] with { Address = port.Address }, config.Workers[2]] };
        });
        using var _ = port;
        var request = LostWorkerTests.Requests(cluster, 1)[0];
        var undisturbed = await cluster.IdsAsync(request);
        var reading = new Reading(cluster.Host.Scheduler.Generate(request, default));
        await reading.HasAsync(5);

        port!.Cut();
        await Task.Delay(TimeSpan.FromSeconds(0.7));
        Assert.False(reading.HasEnded);
        port.Mend();

        Assert.Equal(undisturbed, await reading.ToEndAsync());
        Assert.Equal(1, cluster.Host.Pipeline.Epoch);
    }

    [Theory]
    [InlineData("KILL", "")]
    [InlineData("STOP", "has not answered for ")]
    public async Task A_worker_that_is_lost_while_the_first_stages_load_is_named(string signal, string reason)
    {
        await using var workers = await LocalWorkers.StartAsync(3, 1, RunningCluster.WorkerMemory, RunningCluster.Program, default);
        var lost = workers.Workers[1];
        // Called by who loads, so that nothing is loaded further meanwhile.
        var progress = new Told(() => Signal.SendAsync(signal, lost.Process).Wait(RunningCluster.Patience));

        var config = RunningCluster.Config(workers) with { FailureTimeout = RunningCluster.ShortFailureTimeout };
        var starting = CoordinatorHost.StartAsync(config, progress, null, default);
        var error = await Assert.ThrowsAsync<StageFailureException>(() => starting.WaitAsync(RunningCluster.Patience));

        Assert.Contains(lost.Name, error.Message, StringComparison.Ordinal);
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
    }

    private static List<GenerationRequest> Prompts(int count) => [.. Enumerable.Range(0, count).Select(i =>
    {
        var random = new Random(i);
        return new GenerationRequest
        {
            Tokens = [.. Enumerable.Range(0, 150).Select(_ => random.Next(10, 1000))],
            Sampling = RunningCluster.Greedy,
            MaxTokens = 20,
            IgnoreEnd = true,
        };
    })];

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while (!condition())
            await Task.Delay(1, timeout.Token);
    }

    private sealed class Told(Action once) : IProgress<LoadingProgress>
    {
        private int _told;

        public void Report(LoadingProgress value)
        {
            if (Interlocked.Exchange(ref _told, 1) == 0)
                once();
        }
    }
}
