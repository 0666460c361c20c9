using Distributed.Cluster.Links;
using Distributed.Coordinator.Scheduling;
using Distributed.Core.Sampling;
using Xunit.Abstractions;

namespace Distributed.Coordinator.Tests.Recovery;

/// <summary>Layers that are moved while sequences run: where the keys and values of their tokens come from.</summary>
public sealed class MovedKvTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(8, 300, 200, "delay=3ms", true)]
    [InlineData(1, 10, 60, "delay=20ms", false)]
    public async Task Many_tokens_are_fetched_from_the_old_stages_and_few_are_computed_again(
        int sequences, int prompt, int answer, string link, bool isFetched)
    {
        await using var cluster = await RunningCluster.StartAsync(change: config => config with
        {
            Sequences = 8,
            Context = 512,
            Link = LinkShape.Parse("link", link),
        });
        var random = new Random(3);
        var requests = Enumerable.Range(0, sequences).Select(i => new GenerationRequest
        {
            Tokens = [.. Enumerable.Range(0, prompt).Select(_ => random.Next(10, 1000))],
            Sampling = i % 2 == 0 ? RunningCluster.Greedy : new SamplingOptions { Temperature = 0.9f, Seed = (ulong)i },
            MaxTokens = answer,
            IgnoreEnd = true,
        }).ToList();
        var undisturbed = await Task.WhenAll(requests.Select(cluster.IdsAsync));
        var running = requests.Select(request => new Reading(cluster.Host.Scheduler.Generate(request, default))).ToList();
        foreach (var reading in running)
            await reading.HasAsync(2);

        var report = await cluster.Host.Recovery.DrainAsync("worker-1", default);

        output.WriteLine($"{report}");
        foreach (var (reading, expected) in running.Zip(undisturbed))
            Assert.Equal(expected, await reading.ToEndAsync());
        Assert.Equal((sequences, null), (report.Sequences, report.NotMigrated));
        Assert.Equal(isFetched, report.PredictedMigrationMs < report.PredictedReplayMs);
        // Behind what is fetched each computes the last token again, and perhaps one more that was on its way.
        Assert.InRange(report.ReplayedTokens, isFetched ? sequences : prompt, isFetched ? 2 * sequences : prompt + answer);
        Assert.InRange(report.MigratedTokens, isFetched ? sequences * prompt : 0, isFetched ? sequences * (prompt + answer) : 0);
        Assert.Equal(["worker-0", "worker-2"], cluster.Host.Placement.Stages.Select(stage => stage.Worker));
        await cluster.EmptyAsync();
    }
}
