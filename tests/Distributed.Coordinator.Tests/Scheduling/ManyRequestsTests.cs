using Distributed.Coordinator.Scheduling;

namespace Distributed.Coordinator.Tests.Scheduling;

public sealed class ManyRequestsTests
{
    private const int Requests = 1000;

    [Fact]
    public async Task A_thousand_requests_many_of_them_cancelled_leave_nothing_behind()
    {
        await using var cluster = await RunningCluster.StartAsync(
            workers: 2,
            change: config => config with { MaxBatchTokens = 64, Sequences = 24, Context = 64, MaxWaiting = Requests });
        var random = new Random(11);
        var prompts = Enumerable.Range(0, 8).Select(_ => Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(10, 1000)).ToArray()).ToList();
        var expected = new List<int[]>();
        foreach (var prompt in prompts)
            expected.Add(await cluster.IdsAsync(Request(prompt, 5, null)));
        using var atOnce = new SemaphoreSlim(60);
        var plans = Enumerable.Range(0, Requests)
            .Select(i => (Prompt: random.Next(prompts.Count), Tokens: random.Next(1, 6), CancelAfter: random.Next(3) == 0 ? random.Next(40) : -1,
                Leave: random.Next(5) == 0, Session: random.Next(4) == 0 ? $"session-{random.Next(20)}" : null))
            .ToList();

        var ends = await Task.WhenAll(plans.Select(async plan =>
        {
            await atOnce.WaitAsync();
            try
            {
                return await Task.Run(() => RunAsync(cluster, Request(prompts[plan.Prompt], plan.Tokens, plan.Session), plan.CancelAfter, plan.Leave));
            }
            finally
            {
                atOnce.Release();
            }
        })).WaitAsync(RunningCluster.Patience);

        Assert.All(plans.Zip(ends), pair => Assert.Equal(expected[pair.First.Prompt].Take(pair.Second.Count), pair.Second));
        Assert.All(
            plans.Zip(ends).Where(pair => pair.First is { CancelAfter: < 0, Leave: false }),
            pair => Assert.Equal(pair.First.Tokens, pair.Second.Count));
        Assert.Contains(plans.Zip(ends), pair => pair.Second.Count < pair.First.Tokens);
        for (var i = 0; i < 20; i++)
            await cluster.Host.Scheduler.EndSessionAsync($"session-{i}");
        await cluster.EmptyAsync();
        var scheduler = cluster.Host.Scheduler;
        Assert.Equal((0, 0, 0), (scheduler.Waiting, scheduler.Counts.Running, scheduler.Counts.InFlight));
        Assert.Equal(0, scheduler.Counts.RetriedSteps);
    }

    private static GenerationRequest Request(int[] prompt, int tokens, string? session) =>
        new() { Tokens = prompt, Sampling = RunningCluster.Greedy, MaxTokens = tokens, Session = session, IgnoreEnd = true };

    private static async Task<List<int>> RunAsync(RunningCluster cluster, GenerationRequest request, int cancelAfter, bool leave)
    {
        using var cancel = new CancellationTokenSource();
        if (cancelAfter >= 0)
            cancel.CancelAfter(cancelAfter);
        var ids = new List<int>();
        try
        {
            await foreach (var token in cluster.Host.Scheduler.Generate(request, cancel.Token))
            {
                ids.Add(token.Id);
                if (leave)
                    break;
            }
        }
        catch (OperationCanceledException) when (cancelAfter >= 0)
        {
        }

        return ids;
    }
}
