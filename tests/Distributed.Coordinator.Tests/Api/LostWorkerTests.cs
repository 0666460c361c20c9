using System.Text.Json;

namespace Distributed.Coordinator.Tests.Api;

/// <summary>What HTTP clients see of a worker's loss.</summary>
public sealed class LostWorkerTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_answer_that_began_on_more_stages_than_it_ends_on_is_whole(bool stream)
    {
        await using var server = await RunningServer.StartAsync(workers: 3);
        var body = JsonSerializer.Serialize(new
        {
            messages = new[] { new { role = "user", content = RunningCluster.Story } },
            temperature = 2,
            seed = 1,
            max_tokens = 300,
            stream,
        });
        var undisturbed = await AskAsync(server, body);

        var answer = AskAsync(server, body);
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while (server.Host.Scheduler.Load.Running == 0)
            await Task.Delay(1, timeout.Token);
        server.Workers.Workers[1].Process.Kill();

        Assert.Equal(undisturbed.Text, (await answer).Text);
        Assert.Equal(2, server.Host.Placement.Stages.Count);
        // The times are those of the stages that it began on.
        var stages = (await answer).Last.GetProperty("distributed").GetProperty("stages").EnumerateArray();
        Assert.Equal(["worker-0", "worker-1", "worker-2"], stages.Select(stage => stage.GetProperty("worker").GetString()));
    }

    private static async Task<(string Text, JsonElement Last)> AskAsync(RunningServer server, string body)
    {
        using var response = await server.Http.PostAsync("/v1/chat/completions", new StringContent(body, null, "application/json"));
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        JsonElement[] messages = text.StartsWith('{') ? [JsonDocument.Parse(text).RootElement] :
        [
            .. text.Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal)).Select(line => JsonDocument.Parse(line[6..]).RootElement),
        ];
        Assert.All(messages, message => Assert.False(message.TryGetProperty("error", out var error), $"{error}"));
        return (string.Concat(messages.Select(TextOf)), messages[^1]);
    }

    private static string? TextOf(JsonElement message)
    {
        var choice = message.GetProperty("choices")[0];
        var part = choice.GetProperty(choice.TryGetProperty("message", out _) ? "message" : "delta");
        return part.TryGetProperty("content", out var content) ? content.GetString() : null;
    }
}
