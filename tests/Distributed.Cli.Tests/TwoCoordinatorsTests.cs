using System.Text.RegularExpressions;
using Xunit.Abstractions;

namespace Distributed.Cli.Tests;

public partial class TwoCoordinatorsTests(ITestOutputHelper output)
{
    private const string Story = "Tell me a story about a fox.";
    private const string Sampled = "\"temperature\":0.9,\"max_tokens\":60,\"seed\":7";
    private const string Greedy = "\"temperature\":0,\"max_tokens\":60";

    [PostgresFact]
    public async Task When_the_leading_coordinator_is_killed_or_hangs_the_other_one_goes_on_with_its_sessions()
    {
        await using var database = await PostgresServer.StartAsync();
        await using var cluster = await ServedCluster.StartLockedAsync(
            $"link: delay=2ms\nsequences: 6\nsplit: all\nstate: {{ provider: postgresql, connection: \"{database.Connection}\" }}", "a", "b");
        var first = cluster.Address;
        await using var second = await cluster.StandByAsync();
        Assert.Equal(first, second.Leader);
        var sampled = await cluster.AskAsync(Sampled, Story);
        // The standby sends it on.
        var greedy = await cluster.AskAsync(Greedy, Story, at: second.Address);

        var cut = await Task.WhenAll(
            cluster.AskAsync($"{Sampled},\"session_id\":\"sampled\"", Story, pieces: 20),
            cluster.AskAsync($"{Greedy},\"session_id\":\"greedy\"", Story, pieces: 20));
        await cluster.KillCoordinatorAsync();
        cluster.TurnTo(second);
        // Nobody waits for the other one to lead first: requests do.
        var again = await Task.WhenAll(
            cluster.AskAsync($"{Sampled},\"session_id\":\"sampled\"", Story), cluster.AskAsync($"{Greedy},\"session_id\":\"greedy\"", Story));

        var restart = (await second.Serve.SeeErrorAsync(Restarted())).Groups;
        output.WriteLine(restart[0].Value);

        Assert.Equal(sampled.Text, again[0].Text);
        Assert.Equal(greedy.Text, again[1].Text);
        Assert.All(cut.Zip(again), pair => Assert.StartsWith(pair.First.Text, pair.Second.Text));
        Assert.All(again, answer => Assert.Equal(answer.Prompt, answer.Cached));
        var (known, kept) = (int.Parse(restart[1].Value), int.Parse(restart[2].Value));
        // The last drawn token of each is in no cache yet; a step may have been between two stages.
        Assert.InRange(kept, known - 6, known);
        var status = await cluster.GetAsync("/status");
        Assert.InRange(status.GetProperty("prefillTokens").GetInt64(), 2, 20);
        Assert.Equal(2, status.GetProperty("leadership").GetProperty("term").GetInt64());

        await using var third = await cluster.StandByAsync();
        Assert.Equal(second.Address, third.Leader);
        await second.Serve.SignalAsync("STOP");
        cluster.TurnTo(third);
        var behind = await cluster.AskAsync($"{Sampled},\"session_id\":\"sampled\"", Story);
        await second.Serve.SignalAsync("CONT");

        Assert.Equal(sampled.Text, behind.Text);
        Assert.Equal(1, await second.Serve.ExitAsync());
        await second.Serve.SeeErrorAsync(StepsDown());
        Assert.Equal(greedy.Text, (await cluster.AskAsync(Greedy, Story)).Text);
        Assert.Empty((await cluster.GetAsync("/status")).GetProperty("recoveries").EnumerateArray());
    }

    [GeneratedRegex(@"started again: epoch 1 goes on.* · 2 sessions of (\d+) tokens, (\d+) of them still in the KV cache.*\n")]
    private static partial Regex Restarted();

    [GeneratedRegex(@"error: this coordinator leads no more: .*\n")]
    private static partial Regex StepsDown();
}
