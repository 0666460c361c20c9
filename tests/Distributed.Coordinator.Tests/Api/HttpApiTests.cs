using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;

namespace Distributed.Coordinator.Tests.Api;

/// <summary>What the client does not show: statuses, bodies of errors, bytes of streams.</summary>
public sealed class HttpApiTests(HttpApiTests.Fixture fixture) : IClassFixture<HttpApiTests.Fixture>
{
    private const string Chat = "/v1/chat/completions";
    private readonly RunningServer _server = fixture.Server;

    [Theory]
    [InlineData("not json", null, "JSON")]
    [InlineData("[]", null, "JSON")]
    [InlineData("null", "messages", "JSON object")]
    [InlineData("{}", "messages", "at least one")]
    [InlineData("""{"messages":[]}""", "messages", "at least one")]
    [InlineData("""{"messages":[null]}""", "messages[0].role", "system, user, assistant")]
    [InlineData("""{"messages":[{"role":"king","content":"x"}]}""", "messages[0].role", "system, user, assistant")]
    [InlineData("""{"messages":[{"role":"user"}]}""", "messages[0].content", "text")]
    [InlineData("""{"messages":[{"role":"user","content":7}]}""", "messages[0].content", "text")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}""", "messages[0].content[0]", "image_url")]
    [InlineData("""{"messages":[{"role":"tool","content":"x"}]}""", "messages[0].role", "tools")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"temperature":"hot"}""", "temperature", "wrong type")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"temperature":-1}""", "temperature", "between 0 and 100")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"top_p":1.5}""", "top_p", "at most 1")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"top_k":-1}""", "top_k", "0 (off)")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"min_p":2}""", "min_p", "between 0 and 1")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"repeat_penalty":0}""", "repeat_penalty", "above 0")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"max_tokens":0}""", "max_tokens", "1 or more")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"max_completion_tokens":-5}""", "max_completion_tokens", "1 or more")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"max_tokens":99999999999}""", "max_tokens", "wrong type")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"stop":""}""", "stop", "none of them empty")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"stop":["a","b","c","d","e"]}""", "stop", "up to 4")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"top_logprobs":2}""", "top_logprobs", "logprobs")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"logprobs":true,"top_logprobs":21}""", "top_logprobs", "between 0 and 20")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"stream_options":{"include_usage":true}}""", "stream_options", "stream")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"session_id":""}""", "session_id", "1 to 128")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"n":2}""", "n", "not supported")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tools":[{}]}""", "tools", "not supported")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}}""", "response_format", "not supported")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"logit_bias":{"5":1}}""", "logit_bias", "not supported")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"presence_penalty":0.5}""", "presence_penalty", "not supported")]
    public async Task A_bad_request_is_a_400_that_names_the_parameter_and_the_rule(string body, string? param, string rule)
    {
        using var response = await PostAsync(body);

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        var error = await ErrorAsync(response);
        Assert.Equal("invalid_request_error", error.GetProperty("type").GetString());
        Assert.Equal(param, error.GetProperty("param").GetString());
        Assert.Contains(rule, error.GetProperty("message").GetString());
    }

    [Fact]
    public async Task Values_that_change_nothing_and_unknown_fields_are_passed_over()
    {
        using var response = await PostAsync(
            """
            {"messages":[{"role":"user","content":"Hi","name":"Ann"}],"max_tokens":1,"n":1,"tools":[],"tool_choice":"none","logit_bias":{},
             "response_format":{"type":"text"},"presence_penalty":0,"frequency_penalty":0.0,"user":"ann","store":null,"stop":null,
             "never_heard_of":[1]}
            """);

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }

    [Fact]
    public async Task A_prompt_longer_than_the_context_is_refused_with_the_numbers()
    {
        using var response = await PostAsync(Request(string.Concat(Enumerable.Repeat("word ", 2000))));

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        var error = await ErrorAsync(response);
        Assert.Equal("context_length_exceeded", error.GetProperty("code").GetString());
        Assert.Contains($"context of {_server.Host.Context} tokens", error.GetProperty("message").GetString());
    }

    [Fact]
    public async Task Another_model_is_a_404_that_says_which_there_is()
    {
        using var response = await PostAsync("""{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}""");

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Contains(RunningServer.Model, (await ErrorAsync(response)).GetProperty("message").GetString());
    }

    [Fact]
    public async Task A_body_beyond_the_limit_is_a_413()
    {
        // The client waits for a word before it sends the body, and need not send it at all.
        using var request = new HttpRequestMessage(HttpMethod.Post, Chat);
        request.Content = Json(Request(new string('x', 4 << 20)));
        request.Headers.ExpectContinue = true;
        using var response = await _server.Http.SendAsync(request);

        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
        Assert.Equal("invalid_request_error", (await ErrorAsync(response)).GetProperty("type").GetString());
    }

    [Fact]
    public async Task A_body_that_is_not_declared_as_JSON_is_a_415()
    {
        using var response = await _server.Http.PostAsync(Chat, new StringContent(Request("x"), Encoding.UTF8, "text/plain"));

        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
    }

    [Fact]
    public async Task JSON_nested_without_end_is_a_400()
    {
        using var response = await PostAsync($$"""{"messages":{{new string('[', 100_000)}}""");

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
    }

    [Theory]
    [InlineData("GET", "/v1/nothing")]
    [InlineData("POST", "/v1/completions/x")]
    [InlineData("GET", "/v1/models/other")]
    public async Task What_is_not_there_is_a_404_in_the_same_format(string method, string path)
    {
        using var response = await _server.Http.SendAsync(new HttpRequestMessage(new HttpMethod(method), path));

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Equal("invalid_request_error", (await ErrorAsync(response)).GetProperty("type").GetString());
    }

    [Fact]
    public async Task A_stream_is_events_of_JSON_that_end_with_DONE()
    {
        using var response = await PostAsync(
            """{"messages":[{"role":"user","content":"Hi"}],"max_tokens":3,"stream":true,"stream_options":{"include_usage":true}}""");

        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        var events = (await response.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.All(events, line => Assert.StartsWith("data: ", line, StringComparison.Ordinal));
        Assert.Equal("data: [DONE]", events[^1]);
        var chunks = events.SkipLast(1).Select(line => JsonDocument.Parse(line[6..]).RootElement).ToList();
        Assert.All(chunks, chunk => Assert.Equal("chat.completion.chunk", chunk.GetProperty("object").GetString()));
        Assert.Equal("assistant", chunks[0].GetProperty("choices")[0].GetProperty("delta").GetProperty("role").GetString());
        Assert.Equal("length", chunks[^2].GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        Assert.Equal(0, chunks[^1].GetProperty("choices").GetArrayLength());
        Assert.Equal(3, chunks[^1].GetProperty("usage").GetProperty("completion_tokens").GetInt32());
        var timings = chunks[^1].GetProperty("distributed");
        Assert.Equal(2, timings.GetProperty("stages").GetArrayLength());
        var hops = timings.GetProperty("hops").EnumerateArray().Select(hop => hop.GetProperty("to").GetString());
        Assert.Equal(["worker-0", "worker-1", "coordinator"], hops);
    }

    [Fact]
    public async Task A_session_reuses_its_KV_cache()
    {
        const string Body = """{"messages":[{"role":"user","content":"Tell me a story about a fox."}],"max_tokens":3,"session_id":"s"}""";
        using var first = await PostAsync(Body);
        using var second = await PostAsync(Body);

        var usage = (await second.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("usage");
        var cached = usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32();
        Assert.Equal(usage.GetProperty("prompt_tokens").GetInt32() - 1, cached);
        Assert.True(await _server.Host.Scheduler.EndSessionAsync("s"));
    }

    [Fact]
    public async Task Health_and_readiness_are_told()
    {
        Assert.Equal("ok", (await _server.Http.GetFromJsonAsync<JsonElement>("/health")).GetProperty("status").GetString());
        Assert.Equal("ready", (await _server.Http.GetFromJsonAsync<JsonElement>("/ready")).GetProperty("status").GetString());
    }

    [Fact]
    public async Task A_client_that_goes_away_frees_its_KV_on_every_stage()
    {
        using var gone = new CancellationTokenSource();
        var asking = _server.Http.PostAsync(Chat, Json(Request(RunningCluster.Story)), gone.Token);
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while ((await _server.Host.Pipeline.ReportKvAsync(timeout.Token)).All(stage => stage.Sequences.Count == 0) && !asking.IsCompleted)
            await Task.Yield();

        await gone.CancelAsync();

        await _server.EmptyAsync();
    }

    [Fact]
    public async Task A_full_queue_is_a_503_that_says_when_to_come_again()
    {
        // Four run and one waits; of a crowd some must be refused, and the others answered.
        var responses = await Task.WhenAll(Enumerable.Range(0, 40).Select(_ => PostAsync(Request(RunningCluster.Story))));

        var refused = responses.Where(response => response.StatusCode == HttpStatusCode.ServiceUnavailable).ToList();
        Assert.NotEmpty(refused);
        Assert.All(responses.Except(refused), response => Assert.Equal(HttpStatusCode.OK, response.StatusCode));
        Assert.Equal(TimeSpan.FromSeconds(1), refused[0].Headers.RetryAfter!.Delta);
        var error = await ErrorAsync(refused[0]);
        Assert.Equal("queue_full", error.GetProperty("code").GetString());
        Assert.Contains("4 requests are running and 1 wait for a place, of at most 1 (max-waiting)", error.GetProperty("message").GetString());
        await _server.EmptyAsync();
    }

    private static string Request(string prompt) =>
        JsonSerializer.Serialize(new { messages = new[] { new { role = "user", content = prompt } } });

    private static StringContent Json(string body) => new(body, Encoding.UTF8, "application/json");

    private Task<HttpResponseMessage> PostAsync(string body) => _server.Http.PostAsync(Chat, Json(body));

    private static async Task<JsonElement> ErrorAsync(HttpResponseMessage response)
    {
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error");
    }

    public sealed class Fixture : IAsyncLifetime
    {
        internal RunningServer Server { get; private set; } = null!;

        public async Task InitializeAsync() => Server = await RunningServer.StartAsync(change: config => config with { MaxWaiting = 1 });

        public async Task DisposeAsync() => await Server.DisposeAsync();
    }
}
