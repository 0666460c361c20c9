using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Scheduling;
using Distributed.Core;

namespace Distributed.Coordinator.Tests.Scheduling;

public sealed class SharedStepFailureTests
{
    private const int Block = StageSpec.KvBlockTokens;

    [Theory]
    // While it decodes, and in the middle of a prompt of many chunks.
    [InlineData(20)]
    [InlineData(6 * Block)]
    public async Task A_sequence_that_finds_the_KV_cache_full_ends_alone_and_the_others_get_their_tokens(int prompt)
    {
        await using var cluster = await RunningCluster.StartAsync(
            workers: 2, change: config => config with { MaxBatchTokens = 16, Sequences = 4, Context = 8 * Block });
        var small = Request(1, 5, Block - 6);
        var large = Request(2, prompt, (8 * Block) - prompt - 1);
        var expected = await cluster.IdsAsync(small);
        // Takes blocks that the scheduler knows nothing of: all but three, one each for the small ones, and one.
        await OccupyAsync(cluster.Host.Pipeline, blocks: (4 * 8) - 3);

        var others = new[] { cluster.IdsAsync(small), cluster.IdsAsync(small) };
        var error = await Assert.ThrowsAsync<StageFailureException>(() => cluster.GenerateAsync(large));

        Assert.Equal(FailureCode.KvFull, error.Failure.Code);
        Assert.Contains("give the stage more memory", error.Message);
        Assert.All(await Task.WhenAll(others), ids => Assert.Equal(expected, ids));
        // What it had is free again, and the pipeline goes on.
        Assert.All(await cluster.ReportAsync(), stage => Assert.Equal(3, stage.FreeBlocks));
        Assert.Equal(expected, await cluster.IdsAsync(small));
        Assert.Equal(0, cluster.Host.Scheduler.Counts.Running);
    }

    private static GenerationRequest Request(int seed, int length, int tokens)
    {
        var random = new Random(seed);
        return new GenerationRequest
        {
            Tokens = [.. Enumerable.Range(0, length).Select(_ => random.Next(10, 1000))],
            Sampling = RunningCluster.Greedy,
            MaxTokens = tokens,
            IgnoreEnd = true,
        };
    }

    private static async Task OccupyAsync(Pipeline pipeline, int blocks)
    {
        for (var i = 0; i < blocks; i++)
            await pipeline.RunAsync([new Slice { Sequence = 1_000_000 + i, Start = 0, Count = 1 }], [1], default);
    }
}
