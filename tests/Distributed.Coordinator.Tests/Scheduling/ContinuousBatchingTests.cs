using System.Collections.Concurrent;
using Distributed.Coordinator.Scheduling;

namespace Distributed.Coordinator.Tests.Scheduling;

public sealed class ContinuousBatchingTests(ContinuousBatchingTests.Fixture fixture) : IClassFixture<ContinuousBatchingTests.Fixture>
{
    private const int Stages = 2;
    private const int MaxBatchTokens = 32;
    private readonly RunningCluster _cluster = fixture.Cluster;

    private GenerationRequest Stream => _cluster.Ask(RunningCluster.Story) with { IgnoreEnd = true };

    [Fact]
    public async Task Eight_requests_at_once_share_steps_and_each_gets_the_tokens_it_gets_alone()
    {
        var requests = Enumerable.Range(0, 8).Select(i => Prompt(i, length: 5 + (11 * i)) with { MaxTokens = 30 }).ToList();
        var alone = new List<int[]>();
        foreach (var request in requests)
            alone.Add(await _cluster.IdsAsync(request));
        var before = _cluster.Host.Scheduler.Counts.SharedSteps;

        var together = await Task.WhenAll(requests.Select(request => _cluster.GenerateAsync(request)));

        Assert.Equal(alone, together.Select(result => result.Tokens.Select(token => token.Id)));
        Assert.True(_cluster.Host.Scheduler.Counts.SharedSteps > before);
        // Once all of them decode, in two groups for two stages.
        var shared = together.SelectMany(result => result.Tokens).Select(token => token.Step).Distinct().ToList();
        Assert.Contains(shared, step => step.Sequences >= 3);
        Assert.InRange(_cluster.Host.Scheduler.Counts.MostInFlight, Stages, Stages + 1);
        await _cluster.EmptyAsync();
    }

    [Fact]
    public async Task A_stream_gets_a_token_between_the_chunks_of_a_long_prompt()
    {
        var expected = await _cluster.IdsAsync(Stream with { MaxTokens = 80 });
        await using var stream = await StartAsync(Stream with { MaxTokens = 80 });

        var (prompt, _) = await _cluster.GenerateAsync(Prompt(1, length: 400) with { MaxTokens = 1 });

        var tokens = await stream.ToEndAsync();
        var last = prompt[0].Step.Number;
        var during = tokens.Select(token => token.Step).Where(step => step.Tokens > 1).ToList();
        // 400 tokens in steps of 32, every other one of which is the stream's turn.
        Assert.InRange(during.Count, 5, 13);
        Assert.All(during, step => Assert.InRange(step.Tokens, 2, MaxBatchTokens));
        var steps = tokens.Select(token => token.Step.Number).Where(step => step <= last).ToList();
        Assert.All(steps.Zip(steps.Skip(1)), pair => Assert.InRange(pair.Second - pair.First, 1, Stages));
        Assert.Equal(expected, tokens.Select(token => token.Id));
    }

    [Fact]
    public async Task Two_long_prompts_take_turns_and_a_short_one_does_not_wait_for_their_end()
    {
        await using var first = await StartAsync(Prompt(1, length: 400) with { MaxTokens = 1 }, tokens: 0);
        await using var second = await StartAsync(Prompt(2, length: 400) with { MaxTokens = 1 }, tokens: 0);
        await using var third = await StartAsync(Prompt(3, length: 10) with { MaxTokens = 1 }, tokens: 0);

        var ends = new List<long>();
        foreach (var running in new[] { first, second, third })
            ends.Add((await running.ToEndAsync())[0].Step.Number);

        // Thirteen chunks each; only those sent before the second came are not answered by one of its own.
        Assert.InRange(ends[1] - ends[0], 1, 6);
        Assert.True(ends[2] < ends[0] - 6, string.Join(", ", ends));
    }

    [Fact]
    public async Task Sequences_join_and_leave_between_the_steps_of_another()
    {
        var expected = await _cluster.IdsAsync(Stream with { MaxTokens = 120 });
        await using var stream = await StartAsync(Stream with { MaxTokens = 120 });
        using var cancel = new CancellationTokenSource();
        var cancelled = _cluster.GenerateAsync(Prompt(4, length: 300), cancel.Token);
        await _cluster.GenerateAsync(Prompt(5, length: 40) with { MaxTokens = 5 });
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        await foreach (var _ in _cluster.Host.Scheduler.Generate(Prompt(6, length: 10), default))
            break;

        var tokens = await stream.ToEndAsync();

        Assert.Equal(expected, tokens.Select(token => token.Id));
        Assert.Contains(tokens, token => token.Step.Sequences > 1);
        await _cluster.EmptyAsync();
    }

    [Fact]
    public async Task A_consumer_that_does_not_read_pauses_its_own_sequence_and_no_other()
    {
        var expected = await _cluster.IdsAsync(Stream with { MaxTokens = 100 });
        var counts = _cluster.Host.Scheduler.Counts;
        var before = counts.DecodeTokens;
        await using var idle = _cluster.Host.Scheduler.Generate(Stream with { MaxTokens = 100 }, default).GetAsyncEnumerator();
        Assert.True(await idle.MoveNextAsync());
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while (counts.DecodeTokens - before < SequenceRun.MaxUnread || counts.InFlight > 0)
            await Task.Delay(5, timeout.Token);

        Assert.Equal(expected[..20], await _cluster.IdsAsync(Stream with { MaxTokens = 20 }));

        Assert.InRange(counts.DecodeTokens - before, 0, SequenceRun.MaxUnread + 1 + 20);
        var tokens = new List<int> { idle.Current.Id };
        while (await idle.MoveNextAsync())
            tokens.Add(idle.Current.Id);
        Assert.Equal(expected, tokens);
    }

    /// <summary>Tokens at random, the same for the same number.</summary>
    private static GenerationRequest Prompt(int number, int length)
    {
        var random = new Random(number);
        return new GenerationRequest
        {
            Tokens = [.. Enumerable.Range(0, length).Select(_ => random.Next(10, 1000))],
            Sampling = RunningCluster.Greedy,
            IgnoreEnd = true,
        };
    }

    private async Task<Reading> StartAsync(GenerationRequest request, int tokens = 3)
    {
        var reading = new Reading(_cluster.Host.Scheduler.Generate(request, default));
        await reading.HasAsync(tokens);
        return reading;
    }

    public sealed class Fixture : IAsyncLifetime
    {
        internal RunningCluster Cluster { get; private set; } = null!;

        public async Task InitializeAsync() => Cluster = await RunningCluster.StartAsync(
            workers: Stages, change: config => config with { MaxBatchTokens = MaxBatchTokens, Sequences = 8 });

        public async Task DisposeAsync() => await Cluster.DisposeAsync();
    }

    /// <summary>A generation that is read as its tokens come; it runs when this is made.</summary>
    private sealed class Reading : IAsyncDisposable
    {
        private readonly ConcurrentQueue<GeneratedToken> _tokens = new();
        private readonly CancellationTokenSource _stop = new(RunningCluster.Patience);
        private readonly Task _reading;

        public Reading(Generation generation) => _reading = ReadAsync(generation);

        public async Task HasAsync(int count)
        {
            while (_tokens.Count < count && !_reading.IsCompleted)
                await Task.Delay(1, _stop.Token);
        }

        public async Task<List<GeneratedToken>> ToEndAsync()
        {
            await _reading;
            return [.. _tokens];
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _reading.ContinueWith(_ => { }, TaskScheduler.Default);
            _stop.Dispose();
        }

        private async Task ReadAsync(Generation generation)
        {
            await foreach (var token in generation.WithCancellation(_stop.Token))
                _tokens.Enqueue(token);
        }
    }
}
