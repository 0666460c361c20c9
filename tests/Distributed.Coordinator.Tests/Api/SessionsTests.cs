using System.Net.Http.Json;
using Distributed.Coordinator.Api;
using Distributed.Coordinator.Scheduling;
using Distributed.Core;

namespace Distributed.Coordinator.Tests.Api;

public sealed class SessionsTests
{
    private const int Block = StageSpec.KvBlockTokens;

    [Fact]
    public async Task Sessions_tell_where_each_KV_cache_lies_and_add_up_to_what_the_stages_hold()
    {
        await using var server = await RunningServer.StartAsync();
        await AnswerAsync(server, Request(0, 100) with { Session = "first" });
        await AnswerAsync(server, Request(0, 120) with { Session = "second" });

        var told = await TellAsync(server);

        Assert.Equal((server.Host.Pipeline.Name, server.Host.Pipeline.Epoch), (told.Pipeline, told.Epoch));
        Assert.Equal(["worker-0", "worker-1"], told.Stages.Select(stage => stage.Worker));
        Assert.Equal(["first", "second"], told.Sessions.Select(session => session.Id));
        Assert.All(told.Sessions, session => Assert.Equal("idle", session.State));
        // The prompt and all drawn tokens but the last; whole blocks of the shared 100 tokens are shared.
        Assert.Equal([104, 124], told.Sessions.Select(session => session.Stages[1].Tokens));
        Assert.All(told.Sessions.SelectMany(session => session.Stages), held => Assert.Equal(
            (100 / Block, held.Blocks - (100 / Block), held.Blocks * told.Stages[held.Stage].BlockBytes),
            (held.SharedBlocks, held.OwnBlocks, held.Bytes)));
        foreach (var stage in told.Stages)
        {
            Assert.Equal(Own(told, stage) + (100 / Block), stage.UsedBlocks);
            Assert.Equal(server.Host.Pipeline.Memory[stage.Stage].KvCache, stage.Blocks * stage.BlockBytes);
            // Reserved is what an idle session holds.
            Assert.All(told.Sessions, session => Assert.Equal(session.Stages[stage.Stage].Blocks, session.ReservedBlocks));
        }
    }

    [Fact]
    public async Task After_random_requests_cancels_and_a_lost_worker_nothing_is_held_that_no_session_has()
    {
        await using var server = await RunningServer.StartAsync(workers: 3, change: config => config with { MaxWaiting = 1000 });
        var random = new Random(11);
        var requests = Enumerable.Range(0, 1000).Select(i => RunAsync(
            Request(i % 4, random.Next(1, 150)) with { Session = i % 3 == 0 ? $"s{i % 7}" : null, MaxTokens = random.Next(1, 30) },
            leaveAfter: i % 5 == 0 ? random.Next(0, 5) : null)).ToList();
        while (server.Host.Scheduler.Counts.DecodeTokens < 200)
            await Task.Delay(5);
        server.Workers.Workers[1].Process.Kill();

        await Task.WhenAll(requests).WaitAsync(3 * RunningCluster.Patience);

        ClusterSessions told;
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        do
        {
            await Task.Delay(20, timeout.Token);
            told = await TellAsync(server);
        }
        while (told.Sessions.Any(session => session.State != "idle"));
        Assert.Equal(2, told.Epoch);
        Assert.All(told.Sessions, session => Assert.StartsWith("s", session.Id));
        foreach (var stage in told.Stages)
        {
            var held = told.Sessions.Select(session => session.Stages.SingleOrDefault(one => one.Stage == stage.Stage)).ToList();
            Assert.Equal(told.Sessions.Select(session => session.ReservedBlocks), held.Select(one => one?.Blocks ?? 0));
            Assert.InRange(stage.UsedBlocks, Own(told, stage), held.Sum(one => one?.Blocks ?? 0));
        }

        foreach (var session in told.Sessions)
            await server.Host.Scheduler.EndSessionAsync(session.Id!);
        Assert.All((await TellAsync(server)).Stages, stage => Assert.Equal(0, stage.UsedBlocks));

        async Task RunAsync(GenerationRequest request, int? leaveAfter)
        {
            await foreach (var _ in server.Host.Scheduler.Generate(request, default))
                if (leaveAfter-- <= 0)
                    break;
        }
    }

    private static int Own(ClusterSessions told, StageKvStatus stage) => told.Sessions.SelectMany(session => session.Stages)
        .Where(held => held.Stage == stage.Stage).Sum(held => held.OwnBlocks);

    private static async Task<ClusterSessions> TellAsync(RunningServer server) =>
        (await server.Http.GetFromJsonAsync("/sessions", SessionsJson.Default.ClusterSessions))!;

    private static async Task AnswerAsync(RunningServer server, GenerationRequest request)
    {
        await foreach (var _ in server.Host.Scheduler.Generate(request, default))
        {
        }
    }

    // The same first tokens for the same number.
    private static GenerationRequest Request(int number, int length)
    {
        var random = new Random(number);
        return new GenerationRequest
        {
            Tokens = [.. Enumerable.Range(0, length).Select(_ => random.Next(10, 1000))],
            Sampling = RunningCluster.Greedy,
            MaxTokens = 5,
            IgnoreEnd = true,
        };
    }
}
