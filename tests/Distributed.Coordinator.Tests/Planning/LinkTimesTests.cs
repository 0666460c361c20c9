using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;

namespace Distributed.Coordinator.Tests.Planning;

public class LinkTimesTests
{
    [Theory]
    [InlineData(0.1e-3, 2e9, 512 << 10)]
    [InlineData(10e-3, 12.5e6, 512 << 10)]
    [InlineData(3e-3, 8e3, 32 << 10)]
    public void Latency_and_rate_come_out_of_two_sizes(double latency, double rate, int chunk)
    {
        var request = new ProbeLinkRequest { StepBytes = 4096, ChunkBytes = chunk };
        var step = (long)(1e9 * 2 * (latency + (4096 / rate)));
        var whole = (long)(1e9 * ((2 * latency) + ((chunk <= LinkProbe.MostEchoed ? 2 : 1) * chunk / rate)));
        var times = LinkTimes.Of(request, new ProbeLinkReply { StepNs = { step, step, step }, ChunkNs = { whole + 1000, whole } })!.Value;

        Assert.Equal(latency, times.Latency, latency * 0.01);
        Assert.Equal(rate, times.BytesPerSecond, rate * 0.01);
    }

    [Fact]
    public async Task A_slow_link_is_seen_as_slow_and_soon()
    {
        await using var workers = await LocalWorkers.StartAsync(1, 1, RunningCluster.WorkerMemory, RunningCluster.Program, default);
        var shape = LinkShape.Parse("link", "delay=4ms,rate=2Mbit");
        var request = LinkProbe.Quick(workers.Workers[0].Address, shape, workers.Workers[0].Name);

        var reply = await LinkProbe.RunAsync(request, "test", default);
        var times = LinkTimes.Of(request, reply)!.Value;

        Assert.InRange(reply.StepNs.Count, 3, request.Steps - 1);
        Assert.InRange(times.BytesPerSecond, 0.2e6, 0.26e6);
        Assert.InRange(times.Latency, 3.5e-3, 10e-3);
    }

    [Fact]
    public async Task Only_links_that_the_split_uses_are_measured_and_one_that_fails_has_a_reason()
    {
        await using var workers = await LocalWorkers.StartAsync(2, 1, RunningCluster.WorkerMemory, RunningCluster.Program, default);
        var config = RunningCluster.Config(workers);
        var gone = new WorkerConfig { Name = "gone", Address = NodeAddress.Parse("address", "unix:/no-such-socket") };
        config = config with { SplitOverAll = false, Workers = [.. config.Workers, gone] };
        var described = config.Workers.ToDictionary(worker => worker.Name, worker => new WorkerDescription { Machine = worker.Name });

        var split = await LinkSurvey.MakeAsync(config with { Split = [Stage("worker-1", 0), Stage("worker-0", 1)] }, described, default);
        Assert.Equal(
            [("", "worker-0"), ("", "worker-1"), ("worker-0", ""), ("worker-1", ""), ("worker-1", "worker-0")], split.All.Keys.Order());
        Assert.Empty(split.Failed);

        var all = await LinkSurvey.MakeAsync(config, described, default);
        Assert.NotNull(all["worker-0", "worker-1"]);
        Assert.Equal(
            [("gone", "worker-0"), ("gone", "worker-1"), ("worker-0", "gone"), ("worker-1", "gone")], all.Failed.Keys.Order());
        Assert.All(all.Failed.Values, reason => Assert.Contains("unix:/no-such-socket", reason, StringComparison.Ordinal));

        static SplitConfig Stage(string worker, int layer) => new() { Worker = worker, Layers = new LayerRange(layer, layer) };
    }
}
