using Distributed.Coordinator.Scheduling;
using Distributed.Core.Chat;
using Distributed.Grains;

namespace Distributed.Coordinator.Tests.Sessions;

public sealed class KeptSessionTests(KeptSessionTests.Fixture fixture) : IClassFixture<KeptSessionTests.Fixture>
{
    private readonly RunningCluster _cluster = fixture.Cluster;

    [Fact]
    public async Task What_the_grain_says_equals_what_the_workers_report_while_the_session_is_kept_and_after_its_end()
    {
        var request = _cluster.Ask(RunningCluster.Story) with
        {
            MaxTokens = 60,
            Session = "compared",
            Sampling = RunningCluster.Greedy with { Seed = 3 },
        };
        var ids = await _cluster.IdsAsync(request);

        var record = await _cluster.RecordAsync("compared");
        Assert.Equal(SessionState.Idle, record.State);
        Assert.Equal([.. request.Tokens, .. ids], record.Tokens.AsEnumerable());
        Assert.Equal(request.Sampling, record.Sampling);
        Assert.Equal((_cluster.Host.Pipeline.Name, _cluster.Host.Pipeline.Epoch), (record.Pipeline, record.Epoch));
        Assert.Equal(request.Tokens.Count + ids.Length - 1, record.Stages[0].KvTokens);
        await AssertEqualsReportAsync(record, released: false);

        Assert.True(await _cluster.Host.Scheduler.EndSessionAsync("compared"));

        record = await _cluster.RecordAsync("compared");
        Assert.Equal(SessionState.Ended, record.State);
        await AssertEqualsReportAsync(record, released: true);
    }

    [Fact]
    public async Task The_next_request_of_a_session_prefills_only_what_is_new_and_answers_the_same()
    {
        List<ChatMessage> chat = [new("user", RunningCluster.Expected(0).Prompt), new("assistant", RunningCluster.Expected(0).Text)];
        await _cluster.GenerateAsync(Chat(chat[..1]) with { Session = "chat" });
        chat.Add(new("user", RunningCluster.Expected(1).Prompt));

        var (tokens, generation) = await _cluster.GenerateAsync(Chat(chat) with { Session = "chat" });

        Assert.True(generation.Statistics.ReusedTokens >= Chat(chat[..1]).Tokens.Count, $"reused {generation.Statistics.ReusedTokens}");
        Assert.Equal(await _cluster.IdsAsync(Chat(chat)), tokens.Select(token => token.Id));
        await AssertEqualsReportAsync(await _cluster.RecordAsync("chat"), released: false);
    }

    [Fact]
    public async Task A_request_that_goes_back_cuts_the_KV_cache_and_answers_the_same()
    {
        await _cluster.IdsAsync(_cluster.Ask(RunningCluster.Story) with { Session = "back", MaxTokens = 100 });
        var other = _cluster.Ask(RunningCluster.Expected(2).Prompt) with { MaxTokens = 3 };

        var ids = await _cluster.IdsAsync(other with { Session = "back" });

        Assert.Equal(await _cluster.IdsAsync(other), ids);
        var record = await _cluster.RecordAsync("back");
        Assert.Equal([.. other.Tokens, .. ids], record.Tokens.AsEnumerable());
        await AssertEqualsReportAsync(record, released: false);
    }

    [Fact]
    public async Task A_cancelled_request_keeps_its_session_and_the_record_is_true()
    {
        using var cancel = new CancellationTokenSource();
        var request = _cluster.Ask(RunningCluster.Story) with { Session = "cancelled", IgnoreEnd = true };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            var seen = 0;
            await foreach (var token in _cluster.Host.Scheduler.Generate(request, cancel.Token))
            {
                // Most likely in the middle of a later step.
                if (seen++ == 0)
                    cancel.CancelAfter(20);
            }
        });
        await IdleAsync("cancelled");

        await AssertEqualsReportAsync(await _cluster.RecordAsync("cancelled"), released: false);
        var (tokens, generation) = await _cluster.GenerateAsync(request with { MaxTokens = 10 });
        Assert.Equal(request.Tokens.Count - 1, generation.Statistics.ReusedTokens);
        Assert.Equal(await _cluster.IdsAsync(request with { MaxTokens = 10, Session = null }), tokens.Select(token => token.Id));
    }

    [Fact]
    public async Task A_request_without_a_session_is_on_record_as_ended()
    {
        var before = await _cluster.Host.ListSessionsAsync(default);
        await _cluster.IdsAsync(_cluster.Ask(RunningCluster.Expected(0).Prompt));
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        await _cluster.Host.FlushSessionsAsync(timeout.Token);

        var after = await _cluster.Host.ListSessionsAsync(default);

        var own = Assert.Single(after, session => before.All(other => other.Id != session.Id));
        Assert.Equal(SessionState.Ended, own.State);
        await AssertEqualsReportAsync(own, released: true);
    }

    [Fact]
    public async Task Idle_sessions_make_room_for_a_large_request_the_oldest_first()
    {
        await using var cluster = await RunningCluster.StartAsync(
            workers: 2, change: config => config with { Sequences = 1, Context = 256 });
        var small = cluster.Ask("Hello") with { MaxTokens = 40, IgnoreEnd = true };
        foreach (var id in new[] { "first", "second", "third" })
            await cluster.IdsAsync(small with { Session = id });

        // Eight blocks in all, two of them for each session.
        await cluster.IdsAsync(small with { MaxTokens = 70 });

        Assert.Equal(SessionState.Ended, (await cluster.RecordAsync("first")).State);
        Assert.Equal(SessionState.Idle, (await cluster.RecordAsync("third")).State);
        Assert.All(await cluster.ReportAsync(), stage => Assert.Equal(2, stage.Sequences.Count));
    }

    private GenerationRequest Chat(IReadOnlyList<ChatMessage> messages) =>
        new() { Tokens = _cluster.Host.EncodeChat(messages), Sampling = RunningCluster.Greedy };

    private async Task IdleAsync(string session)
    {
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while ((await _cluster.RecordAsync(session)).State != SessionState.Idle)
            await Task.Delay(10, timeout.Token);
    }

    private async Task AssertEqualsReportAsync(SessionRecord record, bool released)
    {
        var report = await _cluster.ReportAsync();
        Assert.Equal(record.Stages.Length, report.Count);
        foreach (var (stage, reported) in record.Stages.Zip(report))
        {
            Assert.Equal(
                (stage.Stage, stage.Device, stage.FirstLayer, stage.EndLayer),
                (reported.Stage, reported.Device, reported.FirstLayer, reported.EndLayer));
            Assert.Equal((record.Pipeline, record.Epoch), (reported.Pipeline, reported.Epoch));
            Assert.Equal(_cluster.Workers.Workers[stage.Stage].Name, stage.Worker);
            var held = reported.Sequences.SingleOrDefault(sequence => sequence.Sequence == record.Sequence);
            Assert.Equal(released, held is null);
            Assert.Equal((stage.KvTokens, stage.KvBlocks, stage.KvBytes), (held?.Tokens ?? 0, held?.Blocks ?? 0, held?.Bytes ?? 0));
        }
    }

    public sealed class Fixture : IAsyncLifetime
    {
        internal RunningCluster Cluster { get; private set; } = null!;

        public async Task InitializeAsync() => Cluster = await RunningCluster.StartAsync();

        public async Task DisposeAsync() => await Cluster.DisposeAsync();
    }
}
