using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Coordinator.Api;
using Distributed.Core;
using Distributed.Testing;

namespace Distributed.Coordinator.Tests.Api;

public sealed class HttpServerTests
{
    [Fact]
    public async Task An_address_in_use_is_told_before_anything_is_loaded()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var config = new ClusterConfig { Model = Repository.SampleModel, Http = NodeAddress.Parse("http", $"{taken.LocalEndpoint}") };

        var error = await Assert.ThrowsAsync<IOException>(
            () => HttpServer.RunAsync(config, null, null, default).WaitAsync(RunningCluster.Patience));

        Assert.Contains($"{taken.LocalEndpoint} is in use", error.Message);
        Assert.Contains("--http", error.Message);
    }

    [Fact]
    public async Task While_the_model_loads_the_server_is_healthy_but_not_ready()
    {
        // A worker that takes the connection and never says a word keeps the coordinator loading.
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        var address = $"127.0.0.1:{FreePort()}";
        var config = new ClusterConfig
        {
            Model = Repository.SampleModel,
            Http = NodeAddress.Parse("http", address),
            Workers = [new WorkerConfig { Name = "silent", Address = NodeAddress.Parse("address", $"{silent.LocalEndpoint}") }],
            ConnectTimeout = TimeSpan.FromSeconds(30),
        };
        using var stop = new CancellationTokenSource();
        var running = HttpServer.RunAsync(config, null, null, stop.Token);
        using var http = new HttpClient { BaseAddress = new Uri($"http://{address}"), Timeout = RunningCluster.Patience };
        while (!running.IsCompleted && !await AnswersAsync(http))
            await Task.Delay(20);

        Assert.Equal("ok", (await http.GetFromJsonAsync<JsonElement>("/health")).GetProperty("status").GetString());
        using var ready = await http.GetAsync("/ready");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
        Assert.Equal("loading", (await ready.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("status").GetString());
        using var models = await http.GetAsync("/v1/models");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, models.StatusCode);
        Assert.Equal(TimeSpan.FromSeconds(1), models.Headers.RetryAfter!.Delta);

        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running.WaitAsync(RunningCluster.Patience));
    }

    [Fact]
    public async Task When_all_workers_are_lost_the_server_is_no_longer_ready_and_says_why()
    {
        await using var server = await RunningServer.StartAsync(
            change: config => config with { RecoveryTimeout = TimeSpan.FromMilliseconds(100) });

        KillAll(server);
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while (server.Host.Condition.State != "failed")
            await Task.Delay(10, timeout.Token);

        using var ready = await server.Http.GetAsync("/ready");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
        var body = await ready.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal("failed", body.GetProperty("status").GetString());
        Assert.NotEmpty(body.GetProperty("reason").GetString()!);
        var request = new { messages = new[] { new { role = "user", content = "Hi" } } };
        using var chat = await server.Http.PostAsJsonAsync("/v1/chat/completions", request);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, chat.StatusCode);
        var error = (await chat.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error");
        Assert.Equal("pipeline_failed", error.GetProperty("code").GetString());
        Assert.Contains("after 0.1 s (recovery-timeout)", error.GetProperty("message").GetString());
    }

    [Fact]
    public async Task A_stream_that_breaks_ends_with_an_error_and_without_DONE()
    {
        await using var server = await RunningServer.StartAsync(change: config => config with
        {
            Context = 512,
            RecoveryTimeout = TimeSpan.FromMilliseconds(100),
        });
        var body = new { stream = true, temperature = 0, messages = new[] { new { role = "user", content = RunningCluster.Story } } };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions") { Content = JsonContent.Create(body) };
        using var response = await server.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        KillAll(server);

        var events = (await response.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);

        Assert.Contains("\"error\"", events[^1]);
        Assert.Contains("recovery-timeout", events[^1]);
        Assert.DoesNotContain("data: [DONE]", events);
    }

    [Fact]
    public async Task A_host_that_is_not_this_machine_is_refused()
    {
        var config = new ClusterConfig { Model = Repository.SampleModel, Http = NodeAddress.Parse("http", "no-such-host.invalid:8080") };

        await Assert.ThrowsAsync<InvalidInputException>(() => HttpServer.RunAsync(config, null, null, default));
    }

    private static void KillAll(RunningServer server)
    {
        foreach (var worker in server.Workers.Workers)
            worker.Process.Kill();
    }

    private static async Task<bool> AnswersAsync(HttpClient http)
    {
        try
        {
            using var response = await http.GetAsync("/health");
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
