using System.ClientModel;
using OpenAI;
using OpenAI.Chat;

namespace Distributed.Coordinator.Tests.Api;

/// <summary>What programs written for OpenAI see, through its official .NET client.</summary>
public sealed class OpenAiClientTests(OpenAiClientTests.Fixture fixture) : IClassFixture<OpenAiClientTests.Fixture>
{
    private readonly RunningServer _server = fixture.Server;

    [Fact]
    public async Task A_whole_answer_is_the_reference_one_with_its_counts()
    {
        var (prompt, text) = RunningCluster.Expected(0);

        var options = new ChatCompletionOptions { Temperature = 0 };
        ChatCompletion answer = await _server.Client().CompleteChatAsync([new UserChatMessage(prompt)], options);

        Assert.Equal(text, answer.Content[0].Text);
        Assert.Equal(ChatFinishReason.Stop, answer.FinishReason);
        Assert.Equal(ChatMessageRole.Assistant, answer.Role);
        Assert.Equal(RunningServer.Model, answer.Model);
        Assert.StartsWith("chatcmpl-", answer.Id, StringComparison.Ordinal);
        Assert.InRange(answer.CreatedAt, DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddMinutes(1));
        Assert.True(answer.Usage.InputTokenCount > 5);
        Assert.True(answer.Usage.OutputTokenCount > 10);
        Assert.Equal(answer.Usage.InputTokenCount + answer.Usage.OutputTokenCount, answer.Usage.TotalTokenCount);
    }

    [Fact]
    public async Task A_streamed_answer_is_the_same_piece_by_piece()
    {
        var (prompt, text) = RunningCluster.Expected(0);
        var pieces = new List<StreamingChatCompletionUpdate>();
        var options = new ChatCompletionOptions { Temperature = 0 };
        await foreach (var piece in _server.Client().CompleteChatStreamingAsync([new UserChatMessage(prompt)], options))
            pieces.Add(piece);

        Assert.Equal(text, string.Concat(pieces.SelectMany(piece => piece.ContentUpdate).Select(part => part.Text)));
        Assert.True(pieces.Count > 10, $"{pieces.Count} pieces");
        Assert.Equal(ChatMessageRole.Assistant, pieces[0].Role);
        Assert.Equal(ChatFinishReason.Stop, Assert.Single(pieces, piece => piece.FinishReason is not null).FinishReason);
        // The client asks for the counts of its own accord.
        Assert.True(pieces[^1].Usage.OutputTokenCount > 10);
        Assert.Single(pieces.Select(piece => piece.CompletionId).Distinct());
    }

    [Fact]
    public async Task System_messages_and_text_parts_reach_the_model()
    {
        var (prompt, _) = RunningCluster.Expected(0);
        ChatMessage[] messages =
        [
            new SystemChatMessage("Be brief."),
            new UserChatMessage(ChatMessageContentPart.CreateTextPart(prompt[..5]), ChatMessageContentPart.CreateTextPart(prompt[5..])),
            new AssistantChatMessage("Yes."),
            new UserChatMessage("More."),
        ];

        var options = new ChatCompletionOptions { Temperature = 0, MaxOutputTokenCount = 1 };
        ChatCompletion answer = await _server.Client().CompleteChatAsync(messages, options);

        Core.Chat.ChatMessage[] same = [new("system", "Be brief."), new("user", prompt), new("assistant", "Yes."), new("user", "More.")];
        Assert.Equal(_server.Host.EncodeChat(same).Length, answer.Usage.InputTokenCount);
    }

    [Fact]
    public async Task The_most_tokens_and_stop_texts_are_obeyed()
    {
        var (prompt, text) = RunningCluster.Expected(0);
        var options = new ChatCompletionOptions { Temperature = 0, MaxOutputTokenCount = 4 };
        ChatCompletion cut = await _server.Client().CompleteChatAsync([new UserChatMessage(prompt)], options);
        Assert.Equal(ChatFinishReason.Length, cut.FinishReason);
        Assert.Equal(4, cut.Usage.OutputTokenCount);
        Assert.StartsWith(cut.Content[0].Text, text, StringComparison.Ordinal);

        var stopping = new ChatCompletionOptions { Temperature = 0 };
        stopping.StopSequences.Add(text[30..36]);
        ChatCompletion stopped = await _server.Client().CompleteChatAsync([new UserChatMessage(prompt)], stopping);
        Assert.Equal(ChatFinishReason.Stop, stopped.FinishReason);
        Assert.Equal(text[..text.IndexOf(text[30..36], StringComparison.Ordinal)], stopped.Content[0].Text);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Log_probabilities_come_with_every_token(bool streamed)
    {
        var (prompt, text) = RunningCluster.Expected(0);
        var options = new ChatCompletionOptions { Temperature = 0, IncludeLogProbabilities = true, TopLogProbabilityCount = 3 };
        var tokens = new List<ChatTokenLogProbabilityDetails>();
        if (streamed)
        {
            await foreach (var piece in _server.Client().CompleteChatStreamingAsync([new UserChatMessage(prompt)], options))
                tokens.AddRange(piece.ContentTokenLogProbabilities);
        }
        else
        {
            ChatCompletion answer = await _server.Client().CompleteChatAsync([new UserChatMessage(prompt)], options);
            tokens.AddRange(answer.ContentTokenLogProbabilities);
        }

        Assert.Equal(text, string.Concat(tokens.Select(token => token.Token)));
        Assert.All(tokens, token =>
        {
            Assert.True(token.LogProbability <= 0);
            Assert.Equal(3, token.TopLogProbabilities.Count);
            Assert.Equal(token.Token, token.TopLogProbabilities[0].Token);
        });
    }

    [Fact]
    public async Task The_same_seed_gives_the_same_answer()
    {
        var answers = new List<string>();
        foreach (var seed in new[] { 7, 7, 8 })
        {
#pragma warning disable OPENAI001 // The client calls its seed experimental; the API does not.
            var options = new ChatCompletionOptions { Temperature = 1.8f, TopP = 1, Seed = seed, MaxOutputTokenCount = 40 };
#pragma warning restore OPENAI001
            ChatCompletion answer = await _server.Client().CompleteChatAsync([new UserChatMessage(RunningCluster.Story)], options);
            answers.Add(answer.Content[0].Text);
        }

        Assert.Equal(answers[0], answers[1]);
        Assert.NotEqual(answers[0], answers[2]);
    }

    [Fact]
    public async Task The_model_is_listed()
    {
        var options = new OpenAIClientOptions { Endpoint = new Uri(_server.Http.BaseAddress!, "/v1") };
        var client = new OpenAIClient(new ApiKeyCredential("none"), options);

        var models = await client.GetOpenAIModelClient().GetModelsAsync();

        Assert.Equal([RunningServer.Model], models.Value.Select(model => model.Id));
    }

    [Fact]
    public async Task Leaving_a_stream_early_frees_the_KV_on_every_stage()
    {
        await foreach (var _ in _server.Client().CompleteChatStreamingAsync([new UserChatMessage(RunningCluster.Story)]))
            break;

        await _server.EmptyAsync();
    }

    [Fact]
    public async Task An_unsupported_parameter_is_an_error_that_names_it()
    {
        var options = new ChatCompletionOptions { Tools = { ChatTool.CreateFunctionTool("f") } };

        var error = await Assert.ThrowsAsync<ClientResultException>(
            () => _server.Client().CompleteChatAsync([new UserChatMessage("Hi")], options));

        Assert.Equal(400, error.Status);
        Assert.Contains("tools", error.Message);
    }

    public sealed class Fixture : IAsyncLifetime
    {
        internal RunningServer Server { get; private set; } = null!;

        public async Task InitializeAsync() => Server = await RunningServer.StartAsync();

        public async Task DisposeAsync() => await Server.DisposeAsync();
    }
}
