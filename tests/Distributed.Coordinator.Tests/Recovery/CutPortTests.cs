namespace Distributed.Coordinator.Tests.Recovery;

public sealed class CutPortTests
{
    [Fact]
    public async Task A_worker_whose_port_is_cut_off_is_noticed_and_left_out()
    {
        CutPort? port = null;
        await using var cluster = await RunningCluster.StartAsync(change: config =>
        {
            port = new CutPort(config.Workers[1].Address);
            return config with
            {
                FailureTimeout = RunningCluster.ShortFailureTimeout,
                Workers = [config.Workers[0], config.Workers[1] with { Address = port.Address }, config.Workers[2]],
            };
        });
        using var _ = port;
        var request = LostWorkerTests.Requests(cluster, 1)[0];
        var undisturbed = await cluster.IdsAsync(request);
        var reading = new Reading(cluster.Host.Scheduler.Generate(request, default));
        await reading.HasAsync(5);

        port!.Cut();

        Assert.Equal(undisturbed, await reading.ToEndAsync());
        Assert.Equal("worker-1", (await LostWorkerTests.ReportAsync(cluster.Host)).Worker);
        Assert.Equal(["worker-0", "worker-2"], cluster.Host.Placement.Stages.Select(stage => stage.Worker));
    }
}
