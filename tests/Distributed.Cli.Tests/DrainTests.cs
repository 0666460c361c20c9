using System.Text.Json;
using Xunit.Abstractions;

namespace Distributed.Cli.Tests;

public class DrainTests(ITestOutputHelper output)
{
    private const string Story = "Tell me a story about a fox.";
    // So hot that hardly any answer ends by itself.
    private const string Sampled = "\"temperature\":2,\"top_k\":0,\"top_p\":1,\"min_p\":0,\"repeat_penalty\":1.1,\"max_tokens\":240";
    private const string First = Sampled + ",\"seed\":1";
    private const string Second = Sampled + ",\"seed\":6";

    [Fact]
    public async Task Layers_move_away_from_a_drained_worker_and_back_while_answers_go_on_and_the_next_coordinator_knows()
    {
        // So slow that answers go on while a busy machine takes seconds for each of the commands.
        await using var cluster = await ServedCluster.StartAsync("link: delay=16ms\nsplit: all", "a", "b", "c");
        var undisturbed = await Task.WhenAll(cluster.AskAsync(First, Story), cluster.AskAsync(Second, Story));

        var running = new[] { cluster.AskAsync(First, Story), cluster.AskAsync(Second, Story) };
        await DecodesAsync(cluster, 10);
        var drained = await MoveAsync(cluster, "drain", "b");
        Assert.False(running.All(answer => answer.IsCompleted));
        Assert.Equal((2, true, 2), Moved(drained));
        Assert.Equal(["b"], drained.GetProperty("drained").EnumerateArray().Select(name => name.GetString()));
        Assert.DoesNotContain(drained.GetProperty("stages").EnumerateArray(), stage => stage.GetString()!.StartsWith("b/", StringComparison.Ordinal));
        await DecodesAsync(cluster, 5);
        var back = await MoveAsync(cluster, "rebalance", "b");
        Assert.Equal((3, true, 2), Moved(back));
        Assert.Contains(back.GetProperty("stages").EnumerateArray(), stage => stage.GetString()!.StartsWith("b/", StringComparison.Ordinal));

        Assert.Equal(undisturbed.Select(answer => answer.Text), (await Task.WhenAll(running)).Select(answer => answer.Text));
        Assert.False((await MoveAsync(cluster, "rebalance")).GetProperty("isMoved").GetBoolean());
        await MoveAsync(cluster, "drain", "c");
        await cluster.KillCoordinatorAsync();
        await cluster.ServeAsync();
        var status = await cluster.GetAsync("/status");
        Assert.Equal(["c"], status.GetProperty("drained").EnumerateArray().Select(name => name.GetString()));
        Assert.Equal(["a", "b"], status.GetProperty("stages").EnumerateArray().Select(stage => stage.GetProperty("worker").GetString()));
        Assert.StartsWith((await cluster.AskAsync(First, Story, pieces: 20)).Text, undisturbed[0].Text);
    }

    [Fact]
    public async Task A_worker_that_was_not_there_at_the_start_is_used_at_once_when_asked_for()
    {
        await using var cluster = await ServedCluster.StartAsync("link: delay=8ms\nsplit: all\nconnect-timeout: 2s", "a", "b");
        await cluster.KillCoordinatorAsync();
        await cluster.KillAsync("b");
        await cluster.ServeAsync();
        var undisturbed = await cluster.AskAsync(First, Story);
        await cluster.StartAgainAsync("b");
        var decoded = await DecodedAsync(cluster);

        var running = cluster.AskAsync(First, Story);
        await DecodesAsync(cluster, 5, decoded);
        var report = await MoveAsync(cluster, "rebalance");

        Assert.Contains(report.GetProperty("stages").EnumerateArray(), stage => stage.GetString()!.StartsWith("b/", StringComparison.Ordinal));
        Assert.Equal(1, report.GetProperty("sequences").GetInt32());
        Assert.Equal(undisturbed.Text, (await running).Text);
    }

    [Fact]
    public async Task What_the_others_cannot_hold_is_refused_with_numbers_and_nothing_changes()
    {
        await using var cluster = await ServedCluster.StartAsync("split: all", ("a", "cpu=8MiB"), ("b", "cpu=64MiB"));
        var before = await cluster.GetAsync("/status");

        var refused = await Cli.RunAsync("drain", "b", "--coordinator", cluster.Address);
        var unknown = await Cli.RunAsync("drain", "x", "--coordinator", cluster.Address);

        Assert.Equal((1, ""), (refused.ExitCode, refused.Out));
        Assert.Matches(@"MiB.*MiB", Assert.Single(refused.Errors));
        Assert.Equal(2, unknown.ExitCode);
        Assert.Contains("is no worker of this cluster, which has a, b", Assert.Single(unknown.Errors));
        var after = await cluster.GetAsync("/status");
        Assert.Equal((1, 0), (after.GetProperty("epoch").GetInt32(), after.GetProperty("drained").GetArrayLength()));
        Assert.Equal($"{before.GetProperty("stages")}", $"{after.GetProperty("stages")}");
        Assert.NotEmpty((await cluster.AskAsync("\"temperature\":0", "Hello!")).Text);
    }

    private static (int Epoch, bool IsMoved, int Sequences) Moved(JsonElement report) => (
        report.GetProperty("epoch").GetInt32(), report.GetProperty("isMoved").GetBoolean(), report.GetProperty("sequences").GetInt32());

    private async Task<JsonElement> MoveAsync(ServedCluster cluster, params string[] verb)
    {
        var result = await Cli.RunAsync([.. verb, "--coordinator", cluster.Address, "--json"]);
        output.WriteLine(result.Out + result.Error);
        Assert.Equal(0, result.ExitCode);
        return JsonDocument.Parse(result.Out).RootElement;
    }

    private static async Task<long> DecodedAsync(ServedCluster cluster) =>
        (await cluster.GetAsync("/status")).GetProperty("decodeTokens").GetInt64();

    // Waits until so many more tokens have been drawn.
    private static async Task DecodesAsync(ServedCluster cluster, int tokens, long? since = null)
    {
        since ??= await DecodedAsync(cluster);
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (await DecodedAsync(cluster) < since + tokens)
            await Task.Delay(5, timeout.Token);
    }
}
