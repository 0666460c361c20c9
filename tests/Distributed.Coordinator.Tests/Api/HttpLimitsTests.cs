using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Distributed.Testing;

namespace Distributed.Coordinator.Tests.Api;

public sealed class HttpLimitsTests : IDisposable
{
    private const string Key = "sk-the-second-of-two";
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Each_limit_is_told_by_its_name_in_the_API_s_own_format()
    {
        await using var server = await RunningServer.StartAsync(workers: 1, change: config => config with
        {
            MaxBody = 2048,
            MaxPrompt = 20,
            MaxRequests = 1,
            Context = 512,
            HeaderTimeout = TimeSpan.FromMilliseconds(300),
        });

        await AssertErrorAsync(await AskAsync(server, new string('x', 3000)), HttpStatusCode.RequestEntityTooLarge, "body", "2 KiB (max-body)", "request_too_large");
        await AssertErrorAsync(await AskAsync(server, new string('x', 300)), HttpStatusCode.BadRequest, "max-prompt", "at most 20", "context_length_exceeded");
        Assert.Contains("within 0.3 s (header-timeout)", await SlowHeadersAsync(server), StringComparison.Ordinal);
        using (var running = await AskAsync(server, "Tell me a story.", stream: true))
        {
            using var second = await AskAsync(server, "Hi");
            await AssertErrorAsync(second, HttpStatusCode.TooManyRequests, "1 requests", "max-requests", "rate_limit_exceeded");
            Assert.Equal(TimeSpan.FromSeconds(1), second.Headers.RetryAfter!.Delta);
        }

        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while ((await AskAsync(server, "Hi")).StatusCode == HttpStatusCode.TooManyRequests)
            await Task.Delay(20, timeout.Token);
        Assert.Equal(HttpStatusCode.OK, (await AskAsync(server, "Hi")).StatusCode);
    }

    [Fact]
    public async Task Only_who_shows_a_key_is_answered_but_anybody_learns_whether_the_server_is_well()
    {
        var file = _folder.Path("keys");
        await File.WriteAllTextAsync(file, $"# two keys\nsk-the-first\n\n{Key}\n");
        await using var server = await RunningServer.StartAsync(workers: 1, change: config => config with { ApiKeyFile = file });

        foreach (var path in (string[])["/v1/models", "/status", "/sessions", "/v1/nothing", "/"])
        {
            using var none = await server.Http.GetAsync(path);
            await AssertErrorAsync(none, HttpStatusCode.Unauthorized, "no API key", "Bearer", null);
            Assert.Equal("Bearer", Assert.Single(none.Headers.WwwAuthenticate).Scheme);
        }

        foreach (var wrong in (string[])["sk-the-firs", "sk-the-first-", "SK-THE-FIRST", "# two keys", "x"])
        {
            server.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", wrong);
            using var refused = await AskAsync(server, "Hi");
            var body = await AssertErrorAsync(refused, HttpStatusCode.Unauthorized, "not one of", "key", "invalid_api_key");
            Assert.DoesNotContain(wrong, wrong == "x" ? "" : body, StringComparison.Ordinal);
        }

        Assert.Equal(HttpStatusCode.OK, (await server.Http.GetAsync("/ready")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await server.Http.GetAsync("/health")).StatusCode);
        foreach (var right in (string[])["sk-the-first", Key])
        {
            server.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", right);
            Assert.Equal(HttpStatusCode.OK, (await AskAsync(server, "Hi")).StatusCode);
            Assert.Equal(HttpStatusCode.OK, (await server.Http.GetAsync("/status")).StatusCode);
        }
    }

    public void Dispose() => _folder.Dispose();

    private static Task<HttpResponseMessage> AskAsync(RunningServer server, string text, bool stream = false)
    {
        var body = new { stream, max_tokens = stream ? 300 : 3, temperature = 0, messages = new[] { new { role = "user", content = text } } };
        var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions") { Content = JsonContent.Create(body) };
        return server.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    private static async Task<string> AssertErrorAsync(HttpResponseMessage response, HttpStatusCode status, string one, string other, string? code)
    {
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(status == response.StatusCode, $"{response.StatusCode}: {text}");
        var error = JsonDocument.Parse(text).RootElement.GetProperty("error");
        Assert.Contains(other, error.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Contains(one, error.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal(code, error.GetProperty("code").GetString());
        return text;
    }

    // Sends one header after the other, slowly, and never the end; what comes back.
    private static async Task<string> SlowHeadersAsync(RunningServer server)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(server.Http.BaseAddress!.Host, server.Http.BaseAddress.Port);
        var stream = client.GetStream();
        using var reader = new StreamReader(stream, Encoding.ASCII);
        var answer = reader.ReadToEndAsync();
        await stream.WriteAsync("GET /health HTTP/1.1\r\nHost: a\r\n"u8.ToArray());
        for (var i = 0; !answer.IsCompleted && i < 100; i++)
        {
            await Task.Delay(50);
            try
            {
                await stream.WriteAsync("X-More: a\r\n"u8.ToArray());
            }
            catch (IOException)
            {
                break;
            }
        }

        return await answer.WaitAsync(RunningCluster.Patience);
    }
}
