using Distributed.Coordinator.Scheduling;

namespace Distributed.Coordinator.Tests;

public class RehearsalTests
{
    [Fact]
    public async Task Nothing_is_left_of_the_tokens_that_go_before_the_first_request()
    {
        await using var cluster = await RunningCluster.StartAsync(workers: 2);

        Assert.All(await cluster.ReportAsync(), stage => Assert.Equal((0, stage.Blocks), (stage.Sequences.Count, stage.FreeBlocks)));
        Assert.Empty(await cluster.Host.ListSessionsAsync(default));
        Assert.Equal(0, cluster.Host.Scheduler.Counts.Steps);
        var (prompt, text) = RunningCluster.Expected(0);
        var (tokens, generation) = await cluster.GenerateAsync(cluster.Ask(prompt));

        // Steps are counted from the first one that went through the stages.
        Assert.True(tokens[0].Step.Number > 0, "nothing was rehearsed");
        Assert.Equal(0, generation.Statistics.ReusedTokens);
        var ids = tokens.Where(token => token.FinishReason != FinishReason.EndOfGeneration).Select(token => token.Id);
        Assert.Equal(text, cluster.Host.Tokenizer.Decode(ids));
    }
}
