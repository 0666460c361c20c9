using Distributed.Coordinator.Scheduling;
using Distributed.Coordinator.Tests.Recovery;
using Distributed.Core;
using Distributed.Core.Sampling;
using Distributed.Grains;

namespace Distributed.Coordinator.Tests.Sessions;

public sealed class SharedPrefixTests
{
    private const int Prefix = 300;
    private const int Block = StageSpec.KvBlockTokens;
    private const int Whole = Prefix / Block * Block;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_prompt_that_begins_like_a_session_computes_only_the_rest_and_gets_the_same_answer(bool isRunning)
    {
        await using var cluster = await RunningCluster.StartAsync();
        var second = Request(tail: 2) with { MaxTokens = 40 };
        var third = Request(tail: 3) with { MaxTokens = 40, Sampling = new SamplingOptions { Temperature = 0.8f, Seed = 9 } };
        // Alone, one after the other, so that nothing is left of one when the next comes.
        var expected = new[] { await cluster.IdsAsync(second), await cluster.IdsAsync(third) };
        var counts = cluster.Host.Scheduler.Counts;
        Assert.Equal(0, counts.SharedTokens);
        var first = new Reading(cluster.Host.Scheduler.Generate(
            Request(tail: 1) with { Session = "first", MaxTokens = isRunning ? 100 : 5 }, default));
        await (isRunning ? first.HasAsync(2) : first.ToEndAsync());
        var before = counts.PromptTokens;

        var together = await Task.WhenAll(cluster.GenerateAsync(second), cluster.GenerateAsync(third));

        Assert.Equal(expected, together.Select(one => one.Tokens.Select(token => token.Id).ToArray()));
        Assert.All(together, one => Assert.Equal(Whole, one.Generation.Statistics.ReusedTokens));
        Assert.Equal(2 * Whole, counts.SharedTokens);
        Assert.Equal(second.Tokens.Count + third.Tokens.Count - (2 * Whole), counts.PromptTokens - before);
        await first.ToEndAsync();
        await cluster.Host.Scheduler.EndSessionAsync("first");
        await cluster.EmptyAsync();
    }

    [Fact]
    public async Task Shared_blocks_are_counted_once_and_outlive_the_session_they_came_from()
    {
        await using var cluster = await RunningCluster.StartAsync();
        await cluster.IdsAsync(Request(tail: 1) with { Session = "first", MaxTokens = 5 });
        var request = Request(tail: 2) with { Session = "second", MaxTokens = 5 };
        await cluster.IdsAsync(request);

        Assert.All((await cluster.RecordAsync("second")).Stages, stage => Assert.Equal(Whole / Block, stage.KvSharedBlocks));
        foreach (var stage in await cluster.ReportAsync())
        {
            Assert.Equal(2, stage.Sequences.Count);
            Assert.All(stage.Sequences, sequence => Assert.Equal(Whole / Block, sequence.SharedBlocks));
            Assert.Equal(stage.Blocks - stage.FreeBlocks, stage.Sequences.Sum(sequence => sequence.Blocks) - (Whole / Block));
        }

        await cluster.Host.Scheduler.EndSessionAsync("first");
        Assert.All(await cluster.ReportAsync(), stage => Assert.Equal(0, Assert.Single(stage.Sequences).SharedBlocks));
        var (_, again) = await cluster.GenerateAsync(request);
        Assert.Equal(request.Tokens.Count - 1, again.Statistics.ReusedTokens);
        await cluster.Host.Scheduler.EndSessionAsync("second");
        await cluster.EmptyAsync();
    }

    [Theory]
    [InlineData("first")]
    [InlineData("second")]
    public async Task A_session_that_goes_back_into_what_it_shares_leaves_the_other_one_as_it_is(string goesBack)
    {
        await using var cluster = await RunningCluster.StartAsync();
        var back = new GenerationRequest
        {
            Tokens = [.. Tokens(0, 100), .. Tokens(7, 30)],
            Sampling = RunningCluster.Greedy,
            MaxTokens = 20,
            IgnoreEnd = true,
        };
        var expectedBack = await cluster.IdsAsync(back);
        var other = Request(tail: 2) with { MaxTokens = 100 };
        var expected = await cluster.IdsAsync(other);
        // The second one begins with the first one's blocks.
        foreach (var session in (string[])["first", "second"])
            await cluster.IdsAsync(Request(tail: 1) with { Session = session, MaxTokens = 5 });
        var running = new Reading(cluster.Host.Scheduler.Generate(other, default));
        await running.HasAsync(2);

        var (tokens, generation) = await cluster.GenerateAsync(back with { Session = goesBack });

        Assert.Equal(expectedBack, tokens.Select(token => token.Id));
        Assert.Equal(100 / Block * Block, generation.Statistics.ReusedTokens);
        Assert.Equal(expected, await running.ToEndAsync());
    }

    [Theory]
    [InlineData(null)]
    [InlineData("second")]
    public async Task A_session_that_must_make_room_leaves_its_cache_to_a_request_that_begins_alike(string? name)
    {
        await using var cluster = await RunningCluster.StartAsync(change: config => config with { Sequences = 1, Context = 512 });
        var request = Request(tail: 2) with { MaxTokens = 40 };
        var expected = await cluster.IdsAsync(request);
        await cluster.IdsAsync(Request(tail: 1) with { Session = "first", MaxTokens = 5 });

        var (tokens, generation) = await cluster.GenerateAsync(request with { Session = name });

        Assert.Equal(expected, tokens.Select(token => token.Id));
        Assert.Equal(Prefix, generation.Statistics.ReusedTokens);
        await cluster.Host.FlushSessionsAsync(default);
        Assert.Equal(SessionState.Ended, (await cluster.Host.GetSessionAsync("first", default))!.State);
        if (name is not null)
            Assert.True(await cluster.Host.Scheduler.EndSessionAsync(name));
        await cluster.EmptyAsync();
    }

    [Fact]
    public async Task What_a_request_is_about_to_cut_off_is_shared_with_nobody()
    {
        await using var cluster = await RunningCluster.StartAsync();
        var like = Request(tail: 1) with { MaxTokens = 5 };
        var back = new GenerationRequest
        {
            Tokens = [.. Tokens(0, 3), .. Tokens(7, 30)],
            Sampling = RunningCluster.Greedy,
            MaxTokens = 5,
            IgnoreEnd = true,
        };
        var expected = new[] { await cluster.IdsAsync(back), await cluster.IdsAsync(like) };

        // Both come before either one's first step has gone, in most rounds.
        for (var round = 0; round < 20; round++)
        {
            await cluster.IdsAsync(like with { Session = "first" });
            Assert.Equal(expected, await Task.WhenAll(cluster.IdsAsync(back with { Session = "first" }), cluster.IdsAsync(like)));
        }
    }

    [Fact]
    public async Task Sequences_that_share_go_on_when_a_worker_dies()
    {
        await using var cluster = await RunningCluster.StartAsync();
        var requests = new[] { Request(tail: 1), Request(tail: 2) };
        var expected = new[] { await cluster.IdsAsync(requests[0]), await cluster.IdsAsync(requests[1]) };
        var first = new Reading(cluster.Host.Scheduler.Generate(requests[0], default));
        await first.HasAsync(2);
        var second = new Reading(cluster.Host.Scheduler.Generate(requests[1], default));
        await second.HasAsync(2);
        Assert.Equal(Whole, cluster.Host.Scheduler.Counts.SharedTokens);

        cluster.Workers.Workers[1].Process.Kill();

        Assert.Equal(expected, [await first.ToEndAsync(), await second.ToEndAsync()]);
        await cluster.EmptyAsync();
    }

    private static GenerationRequest Request(int tail) => new()
    {
        Tokens = [.. Tokens(0, Prefix), .. Tokens(tail, 20)],
        Sampling = RunningCluster.Greedy,
        MaxTokens = 150,
        IgnoreEnd = true,
    };

    private static IEnumerable<int> Tokens(int seed, int count)
    {
        var random = new Random(seed);
        return Enumerable.Range(0, count).Select(_ => random.Next(10, 1000));
    }
}
