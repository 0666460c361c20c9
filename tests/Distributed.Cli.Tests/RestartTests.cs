using System.Text.RegularExpressions;
using Xunit.Abstractions;

namespace Distributed.Cli.Tests;

public partial class RestartTests(ITestOutputHelper output)
{
    private const string Story = "Tell me a story about a fox.";
    private const string Sampled = "\"temperature\":0.9,\"repeat_penalty\":1.1,\"max_tokens\":80";

    [Theory]
    [InlineData("on the workers")]
    [InlineData("on all but one, which was started again too")]
    [InlineData("nowhere, the lease being over")]
    public async Task Sessions_go_on_when_the_coordinator_is_killed_and_started_again_with_the_KV_cache(string where)
    {
        var isKept = where == "on the workers";
        // Slow enough that an answer is not over before the coordinator is killed.
        var keys = $"link: delay=2ms\nsequences: 6\nsplit: all\nlease: {(where.Contains("lease", StringComparison.Ordinal) ? "1s" : "60s")}";
        await using var cluster = await (isKept ? ServedCluster.StartLockedAsync(keys, "a", "b", "c") : ServedCluster.StartAsync(keys, "a", "b", "c"));
        var undisturbed = await cluster.AskAsync($"{Sampled},\"seed\":7", Story);
        var idle = await cluster.AskAsync("\"temperature\":0,\"session_id\":\"idle\"", "Hello!");

        var seeded = cluster.AskAsync($"{Sampled},\"seed\":7,\"session_id\":\"seeded\"", Story, pieces: 25);
        var free = cluster.AskAsync($"{Sampled},\"session_id\":\"free\"", Story, pieces: 25);
        await Task.WhenAll(seeded, free);
        await cluster.KillCoordinatorAsync();
        if (where.Contains("again", StringComparison.Ordinal))
        {
            await cluster.KillAsync("b");
            await cluster.StartAgainAsync("b");
        }

        if (where.Contains("lease", StringComparison.Ordinal))
            await Task.Delay(TimeSpan.FromSeconds(7));
        await cluster.ServeAsync();
        var restart = (await cluster.Serve.SeeErrorAsync(Restarted())).Groups;
        output.WriteLine(restart[0].Value);

        Assert.Equal(isKept ? "1 goes on" : "2 in place of 1", restart[1].Value);
        Assert.Equal("3", restart[2].Value);
        var (known, kept) = (int.Parse(restart[3].Value), int.Parse(restart[4].Value));
        // The last drawn token of each is in no cache yet; a step may have been between two stages.
        Assert.InRange(kept, isKept ? known - 9 : 0, isKept ? known : 0);
        var sessions = await cluster.GetAsync("/sessions");
        Assert.Equal(["free", "idle", "seeded"], sessions.GetProperty("sessions").EnumerateArray()
            .Select(session => session.GetProperty("id").GetString()!).Order());

        var again = await Task.WhenAll(
            cluster.AskAsync($"{Sampled},\"seed\":7,\"session_id\":\"seeded\"", Story),
            cluster.AskAsync($"{Sampled},\"session_id\":\"free\"", Story));

        Assert.Equal(undisturbed.Text, again[0].Text);
        Assert.StartsWith((await seeded).Text, again[0].Text);
        Assert.StartsWith((await free).Text, again[1].Text);
        Assert.NotEqual(again[0].Text, again[1].Text);
        if (isKept)
        {
            // All of the prompt, and of what had been drawn, but what was drawn in the last instants.
            Assert.Equal(again[0].Prompt, again[0].Cached);
            var prefilled = (await cluster.GetAsync("/status")).GetProperty("prefillTokens").GetInt64();
            Assert.InRange(prefilled, 2, 40);
        }

        // Log-probabilities are not on record: the answer is computed, and the prompt is what may be there.
        var next = await cluster.AskAsync("\"temperature\":0,\"session_id\":\"idle\",\"logprobs\":true", "Hello!");
        Assert.Equal(idle.Text, next.Text);
        Assert.Equal(isKept, next.Cached > 0);
    }

    [Fact]
    public async Task A_coordinator_that_is_killed_while_the_first_stages_load_is_started_again()
    {
        // Slow enough that the weights are on their way for some seconds.
        await using var cluster = await ServedCluster.StartWorkersAsync("link: rate=16Mbit\nsplit: all", "a", "b");
        await cluster.BeginServingAsync();
        await UntilAsync(() => Task.FromResult(Weights("a").Any() && Weights("b").Any()));
        await cluster.KillCoordinatorAsync();

        await cluster.ServeAsync();

        var expected = ExpectedAnswers.All[0];
        Assert.Equal(expected.Text, (await cluster.AskAsync("\"temperature\":0", expected.Prompt)).Text);

        IEnumerable<string> Weights(string worker) => Directory.Exists(cluster.DataOf(worker))
            ? Directory.EnumerateFiles(cluster.DataOf(worker), "*", SearchOption.AllDirectories).Where(file => new FileInfo(file).Length >= 1 << 20) : [];
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    public async Task Prompts_that_are_being_computed_when_the_coordinator_is_killed_are_answered_by_the_next(int sequences)
    {
        await using var cluster = await ServedCluster.StartAsync("link: delay=10ms\nsequences: 8\nsplit: all\nmax-batch-tokens: 4", "a", "b");
        string[] prompts = [.. Enumerable.Range(0, sequences).Select(index => $"{string.Join(" ", Enumerable.Repeat(Story, 12))} {index}")];
        // Without a session, so that nothing of it is shared afterwards.
        var undisturbed = await Task.WhenAll(prompts.Select((prompt, index) => cluster.AskAsync(Fields(index), prompt)));
        var computed = await PrefilledAsync();
        var asked = prompts.Select((prompt, index) => cluster.AskAsync($"{Fields(index)},\"session_id\":\"{index}\"", prompt)).ToList();
        await UntilAsync(async () => await PrefilledAsync() >= computed + 20);
        await cluster.KillCoordinatorAsync();
        foreach (var request in asked)
            await Assert.ThrowsAnyAsync<Exception>(() => request);

        await cluster.ServeAsync();
        var again = await Task.WhenAll(prompts.Select((prompt, index) => cluster.AskAsync($"{Fields(index)},\"session_id\":\"{index}\"", prompt)));

        Assert.Equal(undisturbed.Select(answer => answer.Text), again.Select(answer => answer.Text));

        static string Fields(int index) => $"{Sampled.Replace("80", "20", StringComparison.Ordinal)},\"seed\":{index}";

        async Task<long> PrefilledAsync() => (await cluster.GetAsync("/status")).GetProperty("prefillTokens").GetInt64();
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!await condition())
            await Task.Delay(5, timeout.Token);
    }

    [Fact]
    public async Task A_second_coordinator_on_the_same_state_is_refused()
    {
        await using var cluster = await ServedCluster.StartAsync("split: all", "a");
        // Held: a coordinator whose input nobody holds any more is one that ends.
        await using var first = cluster.Serve;

        var second = await Assert.ThrowsAnyAsync<Exception>(cluster.ServeAsync);

        Assert.Contains("is in use by another coordinator", second.Message);
    }

    [GeneratedRegex(@"started again: epoch (\d goes on|\d in place of \d).* · (\d+) sessions of (\d+) tokens, (\d+) of them still in the KV cache.*\n")]
    private static partial Regex Restarted();
}
