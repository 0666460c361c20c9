using System.Text.RegularExpressions;

namespace Distributed.Cli.Tests;

public partial class ServeTests
{
    [Fact]
    public async Task Serves_on_a_free_port_until_SIGTERM_and_leaves_no_worker()
    {
        await using var cli = Cli.Start("serve", "--http", "127.0.0.1:0", "--workers", "2");
        var url = (await cli.SeeErrorAsync(Served())).Groups[1].Value;
        var workers = cli.Children();
        var client = new ChatClient(
            "tales-5m-q8_0", new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri($"{url}/v1") });

        var answer = await client.CompleteChatAsync([new UserChatMessage("Hello!")], new ChatCompletionOptions { Temperature = 0 });
        await cli.SignalAsync("TERM");
        var result = await cli.FinishAsync();

        Assert.Equal("Hello! Shall I tell you a story?", answer.Value.Content[0].Text);
        Assert.Equal((0, ""), (result.ExitCode, result.Out));
        Assert.Equal(2, workers.Count);
        await Cli.AllEndedAsync(workers);
    }

    [Fact]
    public async Task Ctrl_C_while_serving_exits_with_130()
    {
        await using var cli = Cli.Start("serve", "--http", "127.0.0.1:0", "--workers", "1");
        await cli.SeeErrorAsync(Served());

        await cli.SignalAsync("INT");
        var result = await cli.FinishAsync();

        Assert.Equal(130, result.ExitCode);
        Assert.Empty(result.Errors);
    }

    [Fact]
    public async Task Address_in_use_is_told_in_one_line()
    {
        using var taken = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        taken.Start();

        var result = await Cli.RunAsync("serve", "--http", $"{taken.LocalEndpoint}", "--workers", "1");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"{taken.LocalEndpoint} is in use", Assert.Single(result.Errors));
    }

    [GeneratedRegex(@"is served on (http://127\.0\.0\.1:\d+)\n")]
    private static partial Regex Served();
}
