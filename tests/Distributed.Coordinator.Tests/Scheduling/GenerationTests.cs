using Distributed.Coordinator.Scheduling;
using Distributed.Core;

namespace Distributed.Coordinator.Tests.Scheduling;

public sealed class GenerationTests(GenerationTests.Fixture fixture) : IClassFixture<GenerationTests.Fixture>
{
    private readonly RunningCluster _cluster = fixture.Cluster;

    public static TheoryData<int> Answers => [.. Enumerable.Range(0, RunningCluster.ExpectedAnswers)];

    [Theory]
    [MemberData(nameof(Answers))]
    public async Task A_greedy_answer_is_the_reference_one(int index)
    {
        var (prompt, text) = RunningCluster.Expected(index);
        var answer = "";
        await foreach (var piece in _cluster.Host.Generate(_cluster.Ask(prompt), [], default))
            answer += piece.Text;

        Assert.Equal(text, answer);
    }

    [Fact]
    public async Task The_statistics_account_for_every_stage_and_hop()
    {
        var request = _cluster.Ask(RunningCluster.Expected(0).Prompt);
        var (tokens, generation) = await _cluster.GenerateAsync(request);
        var statistics = generation.Statistics;

        Assert.Equal(FinishReason.EndOfGeneration, generation.FinishReason);
        Assert.Equal(FinishReason.EndOfGeneration, tokens[^1].FinishReason);
        Assert.All(tokens.SkipLast(1), token => Assert.Null(token.FinishReason));
        Assert.Equal(
            (request.Tokens.Count, 0, tokens.Count),
            (statistics.PromptTokens, statistics.ReusedTokens, statistics.GeneratedTokens));
        Assert.Equal([0, 1, 2], statistics.Stages.Select(stage => stage.Stage));
        Assert.All(statistics.Stages, stage => Assert.True(stage.ComputeMs > 0, $"{stage}"));
        Assert.Equal([0, 1, 2, 3], statistics.Hops.Select(hop => hop.Index));
        Assert.All(statistics.Hops, hop => Assert.True(hop.TotalMs > 0, $"{hop}"));
        Assert.True(statistics.PrefillTokensPerSecond > 0);
        Assert.True(statistics.DecodeTokensPerSecond > 0);
        // Without the wire, whose ends are on two clocks, the parts of a step follow each other and are no more than the whole.
        var accounted = statistics.Stages.Sum(stage => stage.QueueMs + stage.ComputeMs)
            + statistics.Hops.Sum(hop => hop.SerializeMs + hop.DeserializeMs);
        Assert.InRange(accounted, 0, statistics.DecodeTime.TotalMilliseconds / (tokens.Count - 1));
    }

    [Fact]
    public async Task Log_probabilities_come_with_each_token_the_greedy_one_on_top()
    {
        var (tokens, _) = await _cluster.GenerateAsync(_cluster.Ask(RunningCluster.Story) with { MaxTokens = 8, TopLogProbs = 5 });

        Assert.Equal(8, tokens.Count);
        Assert.All(tokens, token =>
        {
            Assert.Equal(5, token.Top.Count);
            Assert.Equal(token.Id, token.Top[0].Token);
            Assert.Equal(token.LogProb, token.Top[0].LogProb);
            Assert.True(token.LogProb <= 0);
        });
    }

    [Fact]
    public async Task The_most_tokens_end_an_answer_for_its_length()
    {
        var (tokens, generation) = await _cluster.GenerateAsync(_cluster.Ask(RunningCluster.Story) with { MaxTokens = 5 });

        Assert.Equal(5, tokens.Count);
        Assert.Equal(FinishReason.Length, generation.FinishReason);
    }

    [Fact]
    public async Task A_full_context_ends_an_answer_for_its_length()
    {
        var request = _cluster.Ask(RunningCluster.Story) with { IgnoreEnd = true };
        var (tokens, generation) = await _cluster.GenerateAsync(request);

        Assert.Equal(FinishReason.Length, generation.FinishReason);
        Assert.Equal(_cluster.Host.Context, request.Tokens.Count + tokens.Count);
        await _cluster.EmptyAsync();
    }

    [Fact]
    public async Task The_same_seed_gives_the_same_answer_and_another_seed_another()
    {
        var request = _cluster.Ask(RunningCluster.Story) with
        {
            MaxTokens = 40,
            Sampling = new() { Temperature = 1.5f, TopK = 0, TopP = 1, MinP = 0, Seed = 7 },
        };
        var first = await _cluster.IdsAsync(request);

        Assert.Equal(first, await _cluster.IdsAsync(request));
        Assert.NotEqual(first, await _cluster.IdsAsync(request with { Sampling = request.Sampling with { Seed = 8 } }));
    }

    [Fact]
    public async Task A_strong_repeat_penalty_looks_at_the_prompt_and_all_that_was_drawn()
    {
        var request = _cluster.Ask(RunningCluster.Story) with
        {
            MaxTokens = 40,
            IgnoreEnd = true,
            Sampling = RunningCluster.Greedy with { RepeatPenalty = 100, RepeatLastN = 512 },
        };
        var ids = await _cluster.IdsAsync(request);

        // With a penalty this strong no token comes twice.
        Assert.Equal(ids.Length, ids.Distinct().Count());
        Assert.Empty(ids.Intersect(request.Tokens));
    }

    [Fact]
    public async Task A_stop_text_ends_the_answer_before_it()
    {
        var (prompt, text) = RunningCluster.Expected(0);
        var stop = text[20..28];
        var answer = "";
        var generation = _cluster.Host.Generate(_cluster.Ask(prompt), [stop], default);
        await foreach (var piece in generation)
            answer += piece.Text;

        Assert.Equal(text[..text.IndexOf(stop, StringComparison.Ordinal)], answer);
        Assert.Equal(FinishReason.StopText, generation.FinishReason);
        await _cluster.EmptyAsync();
    }

    [Fact]
    public async Task Many_requests_at_once_get_the_answers_they_get_alone()
    {
        var requests = Enumerable.Range(0, 4).Select(i => _cluster.Ask(RunningCluster.Expected(i).Prompt)).ToList();
        var alone = new List<int[]>();
        foreach (var request in requests)
            alone.Add(await _cluster.IdsAsync(request));

        // Twice as many as run at once, so that some wait.
        var together = await Task.WhenAll(requests.Concat(requests).Select(_cluster.IdsAsync));

        Assert.Equal(alone.Concat(alone), together);
        await _cluster.EmptyAsync();
    }

    [Fact]
    public void A_prompt_that_fills_the_context_is_refused_with_the_numbers()
    {
        var context = _cluster.Host.Context;
        var request = new GenerationRequest { Tokens = new int[context] };
        var error = Assert.Throws<InvalidInputException>(() => _cluster.Host.Scheduler.Generate(request, default));

        Assert.Contains($"{context} tokens", error.Message);
        Assert.Contains($"context of {context}", error.Message);
    }

    [Fact]
    public void Every_rule_a_request_breaks_is_named()
    {
        var request = new GenerationRequest
        {
            Tokens = [],
            MaxTokens = 0,
            TopLogProbs = 21,
            Session = "",
            Sampling = new() { TopP = 2, Temperature = float.NaN },
        };
        var error = Assert.Throws<InvalidInputException>(() => _cluster.Host.Scheduler.Generate(request, default));

        Assert.Equal(["prompt", "max-tokens", "top-logprobs", "session", "--temperature", "--top-p"], error.Errors.Select(e => e.Key));
    }

    public sealed class Fixture : IAsyncLifetime
    {
        internal RunningCluster Cluster { get; private set; } = null!;

        // A small batch, so that prompts take several chunks.
        public async Task InitializeAsync() =>
            Cluster = await RunningCluster.StartAsync(change: config => config with { MaxBatchTokens = 8 });

        public async Task DisposeAsync() => await Cluster.DisposeAsync();
    }
}
