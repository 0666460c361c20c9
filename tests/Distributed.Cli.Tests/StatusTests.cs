using System.Text.Json;
using System.Text.RegularExpressions;

namespace Distributed.Cli.Tests;

public partial class StatusTests
{
    [Fact]
    public async Task Status_shows_workers_profiles_links_placement_and_load_of_a_running_coordinator()
    {
        await using var cli = Cli.Start("serve", "--http", "127.0.0.1:0", "--workers", "2", "-t", "1");
        var address = (await cli.SeeErrorAsync(Served())).Groups[1].Value;

        var json = await Cli.RunAsync("status", "--coordinator", address, "--json");
        var table = await Cli.RunAsync("status", "--coordinator", address);

        Assert.Equal((0, ""), (json.ExitCode, json.Error));
        var status = JsonDocument.Parse(json.Out).RootElement;
        Assert.Equal("ready", status.GetProperty("state").GetString());
        Assert.Equal((0, 0), (status.GetProperty("running").GetInt32(), status.GetProperty("waiting").GetInt32()));
        Assert.Equal(8, status.GetProperty("stages").EnumerateArray().Sum(stage =>
            stage.GetProperty("endLayer").GetInt32() - stage.GetProperty("firstLayer").GetInt32()));
        foreach (var worker in status.GetProperty("workers").EnumerateArray())
        {
            Assert.True(worker.GetProperty("answers").GetBoolean());
            var device = Assert.Single(worker.GetProperty("devices").EnumerateArray());
            Assert.True(device.GetProperty("memoryUsed").GetInt64() > 1 << 20);
            Assert.True(device.GetProperty("profile").GetProperty("readBytesPerSecond").GetDouble() > 0);
            Assert.Contains("Q8_0", device.GetProperty("profile").GetProperty("products").EnumerateArray()
                .Select(product => product.GetProperty("type").GetString()));
        }

        // From one to the next, and between the coordinator and the ends, both ways: this split has no other.
        Assert.Equal(5, status.GetProperty("links").GetArrayLength());
        Assert.Equal(0, table.ExitCode);
        Assert.Matches(@"ready · 0 running, 0 waiting, room for 1 sequences? of 512 tokens · predicted [\d.]+ ms/token", table.Out);
        Assert.Matches(@"\n1 +worker-1 +cpu +4-7 |\n +1 +worker-1 +cpu +4-7 ", table.Out);
        Assert.Matches(@"\ncoordinator +worker-0 +[\d.]+ ms ", table.Out);
    }

    [Fact]
    public async Task Sessions_shows_where_the_KV_cache_of_a_session_lies_and_status_what_a_lost_worker_cost()
    {
        await using var cli = Cli.Start("serve", "--http", "127.0.0.1:0", "--workers", "3", "-t", "1");
        var address = (await cli.SeeErrorAsync(Served())).Groups[1].Value;
        using var http = new HttpClient();
        var body = new StringContent(
            """{"session_id":"talk","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}""",
            new System.Net.Http.Headers.MediaTypeHeaderValue("application/json"));
        using var answer = await http.PostAsync($"http://{address}/v1/chat/completions", body);
        Assert.True(answer.IsSuccessStatusCode);

        var table = await Cli.RunAsync("sessions", "--coordinator", address);
        var json = await Cli.RunAsync("sessions", "--coordinator", address, "--json");
        await Cli.SignalAsync("KILL", cli.Children()[0]);
        await cli.SeeErrorAsync(Recovered());
        var status = await Cli.RunAsync("status", "--coordinator", address, "--json");

        Assert.Equal((0, 0), (table.ExitCode, json.ExitCode));
        Assert.Matches(@"talk +idle +1 +0 +worker-0 +cpu +0-2 +\d+ +1 +0 ", table.Out);
        var session = Assert.Single(JsonDocument.Parse(json.Out).RootElement.GetProperty("sessions").EnumerateArray());
        Assert.Equal(3, session.GetProperty("stages").GetArrayLength());
        var recovered = JsonDocument.Parse(status.Out).RootElement;
        Assert.Equal(2, recovered.GetProperty("epoch").GetInt32());
        Assert.True(Assert.Single(recovered.GetProperty("recoveries").EnumerateArray()).GetProperty("loadingMs").GetDouble() > 0);
    }

    [Fact]
    public async Task No_coordinator_is_told_in_one_line_with_1()
    {
        var result = await Cli.RunAsync("status", "--coordinator", "127.0.0.1:1");

        Assert.Equal((1, ""), (result.ExitCode, result.Out));
        Assert.Contains("no coordinator answers on 127.0.0.1:1", Assert.Single(result.Errors));
    }

    [GeneratedRegex(@"recovered: worker-\d lost .*: epoch 2 on .* replanning \d+ ms · loading \d+ ms")]
    private static partial Regex Recovered();

    [GeneratedRegex(@"is served on http://(127\.0\.0\.1:\d+)\n")]
    private static partial Regex Served();
}
