using Distributed.Cluster.Config;

namespace Distributed.Coordinator.Tests.Recovery;

public sealed class DamagedFrameTests
{
    [Theory]
    [InlineData(Damage.Bit, WireType.F32)]
    [InlineData(Damage.Bit, WireType.Q8_0)]
    [InlineData(Damage.End, WireType.F32)]
    [InlineData(Damage.Length, WireType.F32)]
    public async Task A_frame_between_workers_that_is_damaged_or_cut_off_leads_to_the_tokens_of_an_undisturbed_run(Damage damage, WireType wire)
    {
        DamagingPort? port = null;
        await using var cluster = await RunningCluster.StartAsync(change: config =>
        {
            port = new DamagingPort(config.Workers[1].Address);
            return config with
            {
                Wire = wire,
                FailureTimeout = damage == Damage.Length ? RunningCluster.ShortFailureTimeout : config.FailureTimeout,
                Workers = [config.Workers[0], config.Workers[1] with { Address = port.Address }, config.Workers[2]],
            };
        });
        using var _ = port;
        var request = LostWorkerTests.Requests(cluster, 1)[0];
        var undisturbed = await cluster.IdsAsync(request);
        var reading = new Reading(cluster.Host.Scheduler.Generate(request, default));
        await reading.HasAsync(5);

        port!.Do(damage);

        Assert.Equal(undisturbed, await reading.ToEndAsync());
        Assert.Equal(1, port.Damaged);
        var report = await LostWorkerTests.ReportAsync(cluster.Host);
        Assert.Equal(2, report.Epoch);
        if (damage == Damage.Bit && wire == WireType.F32)
            Assert.Contains("checksum", report.Reason, StringComparison.Ordinal);
        else if (damage == Damage.Length)
            Assert.Contains("has not received step", report.Reason, StringComparison.Ordinal);
    }
}
