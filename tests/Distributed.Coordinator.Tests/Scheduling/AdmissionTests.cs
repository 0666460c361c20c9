using Distributed.Coordinator.Scheduling;
using Distributed.Coordinator.Sessions;
using Distributed.Core;
using Distributed.Core.Sampling;

namespace Distributed.Coordinator.Tests.Scheduling;

public sealed class AdmissionTests
{
    private const int Block = StageSpec.KvBlockTokens;
    private readonly List<string> _released = [];
    private TaskCompletionSource? _holdReleases;

    [Fact]
    public async Task At_most_the_given_number_of_requests_run_and_the_next_comes_in_when_one_leaves()
    {
        var admission = Admission(sequences: 2, kvBlocks: 100);
        var first = await admission.EnterAsync(null, Block, default);
        await admission.EnterAsync(null, Block, default);
        var third = admission.EnterAsync(null, Block, default);
        Assert.False(third.IsCompleted);

        await admission.LeaveAsync(first, keep: false);

        Assert.NotSame(first.Session, (await Soon(third)).Session);
        Assert.Equal([first.Session.Id], _released);
    }

    [Fact]
    public async Task A_request_beyond_the_queue_is_refused_with_the_numbers()
    {
        var admission = Admission(sequences: 1, kvBlocks: 100, maxWaiting: 2);
        await admission.EnterAsync(null, Block, default);
        var waiting = new[] { admission.EnterAsync(null, Block, default), admission.EnterAsync(null, Block, default) };

        var refused = await Assert.ThrowsAsync<QueueFullException>(() => admission.EnterAsync(null, Block, default));

        Assert.Contains("1 requests are running and 2 wait", refused.Message);
        Assert.All(waiting, request => Assert.False(request.IsCompleted));
    }

    [Fact]
    public async Task Waiting_requests_come_in_in_the_order_they_came()
    {
        var admission = Admission(sequences: 1, kvBlocks: 100);
        var place = await admission.EnterAsync(null, Block, default);
        var order = new List<int>();
        var waiting = Enumerable.Range(0, 5).Select(Wait).ToArray();
        await admission.LeaveAsync(place, keep: false);
        await Soon(Task.WhenAll(waiting));

        Assert.Equal([0, 1, 2, 3, 4], order);

        async Task Wait(int number)
        {
            var own = await admission.EnterAsync(null, Block, default);
            order.Add(number);
            await admission.LeaveAsync(own, keep: false);
        }
    }

    [Fact]
    public async Task A_large_request_at_the_head_is_not_overtaken_by_small_ones()
    {
        var admission = Admission(sequences: 8, kvBlocks: 10);
        var first = await admission.EnterAsync(null, 6 * Block, default);
        var large = admission.EnterAsync(null, 8 * Block, default);
        var small = admission.EnterAsync(null, Block, default);
        Assert.False(large.IsCompleted);
        Assert.False(small.IsCompleted);

        await admission.LeaveAsync(first, keep: false);

        await Soon(large);
        await Soon(small);
    }

    [Fact]
    public async Task Blocks_are_free_only_once_every_stage_has_released_them()
    {
        var admission = Admission(sequences: 8, kvBlocks: 10);
        var first = await admission.EnterAsync(null, 10 * Block, default);
        var second = admission.EnterAsync(null, Block, default);
        _holdReleases = new TaskCompletionSource();

        var leaving = admission.LeaveAsync(first, keep: false);

        await Task.Delay(50);
        Assert.False(second.IsCompleted);
        _holdReleases.SetResult();
        await Soon(leaving);
        await Soon(second);
    }

    [Fact]
    public async Task Idle_sessions_go_oldest_first_and_only_as_many_as_needed()
    {
        var admission = Admission(sequences: 4, kvBlocks: 12);
        foreach (var id in new[] { "a", "b", "c" })
            await Converse(admission, id, tokens: 4 * Block);
        await Converse(admission, "a", tokens: 4 * Block);
        Assert.Empty(_released);

        await Soon(admission.EnterAsync(null, 6 * Block, default));

        Assert.Equal(["b", "c"], _released);
    }

    [Fact]
    public async Task A_session_comes_back_to_its_own_KV_cache()
    {
        var admission = Admission(sequences: 4, kvBlocks: 12);
        var session = await Converse(admission, "a", tokens: 10 * Block);

        var place = await Soon(admission.EnterAsync("a", 12 * Block, default));

        Assert.Same(session, place.Session);
        Assert.Equal(10 * Block, place.Session.CachedTokens);
        Assert.Empty(_released);
    }

    [Fact]
    public async Task The_second_request_of_a_running_session_waits_for_the_first_but_others_do_not()
    {
        var admission = Admission(sequences: 4, kvBlocks: 100);
        var first = await admission.EnterAsync("a", Block, default);
        first.Session.Cached(1);
        var second = admission.EnterAsync("a", Block, default);
        await Soon(admission.EnterAsync("b", Block, default));
        Assert.False(second.IsCompleted);

        await admission.LeaveAsync(first, keep: true);

        Assert.Same(first.Session, (await Soon(second)).Session);
    }

    [Fact]
    public async Task A_cancelled_request_leaves_the_queue()
    {
        var admission = Admission(sequences: 1, kvBlocks: 100, maxWaiting: 1);
        var first = await admission.EnterAsync(null, Block, default);
        using var cancel = new CancellationTokenSource();
        var second = admission.EnterAsync(null, Block, cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);

        var third = admission.EnterAsync(null, Block, default);
        await admission.LeaveAsync(first, keep: false);

        await Soon(third);
    }

    [Fact]
    public async Task A_session_without_a_token_in_the_KV_cache_is_not_kept()
    {
        var admission = Admission(sequences: 4, kvBlocks: 100);
        var place = await admission.EnterAsync("a", Block, default);

        await admission.LeaveAsync(place, keep: true);

        Assert.Equal(["a"], _released);
        Assert.False(await admission.EndAsync("a"));
    }

    [Fact]
    public async Task A_request_that_can_never_fit_is_refused_with_the_numbers()
    {
        var admission = Admission(sequences: 1, kvBlocks: 10);

        var error = await Assert.ThrowsAsync<InvalidInputException>(() => admission.EnterAsync(null, (10 * Block) + 1, default));

        Assert.Contains("11 blocks", error.Message);
        Assert.Contains("10 in all", error.Message);
    }

    [Fact]
    public async Task Ending_an_idle_session_releases_it_and_a_running_one_ends_with_its_request()
    {
        var admission = Admission(sequences: 4, kvBlocks: 100);
        await Converse(admission, "idle", Block);
        var running = await admission.EnterAsync("running", Block, default);

        Assert.True(await admission.EndAsync("idle"));
        Assert.True(await admission.EndAsync("running"));
        Assert.False(await admission.EndAsync("unknown"));

        Assert.Equal(["idle"], _released);
        await admission.LeaveAsync(running, keep: true);
        Assert.Equal(["idle", "running"], _released);
        Assert.False(await admission.EndAsync("running"));
    }

    [Fact]
    public async Task After_closing_all_who_wait_and_all_who_come_get_the_error()
    {
        var admission = Admission(sequences: 1, kvBlocks: 100);
        await admission.EnterAsync(null, Block, default);
        var waiting = admission.EnterAsync(null, Block, default);

        admission.Close(() => new InvalidOperationException("closed"));

        await Assert.ThrowsAsync<InvalidOperationException>(() => waiting);
        await Assert.ThrowsAsync<InvalidOperationException>(() => admission.EnterAsync(null, Block, default));
    }

    [Fact]
    public async Task Room_comes_from_others_where_a_session_that_begins_alike_has_too_little_of_it()
    {
        var admission = Admission(sequences: 4, kvBlocks: 8);
        await Converse(admission, "alike", Prompt(1, 2 * Block));
        await Converse(admission, "other", Prompt(2, 4 * Block));

        int[] prompt = [.. Prompt(1, 2 * Block), .. Prompt(3, 4 * Block)];
        var place = await Soon(admission.EnterAsync(null, prompt.Length, default, prompt));

        Assert.Equal(["other"], _released);
        Assert.Equal(0, place.Session.CachedTokens);
        Assert.Equal(["alike", place.Session.Id], admission.Places.Select(one => one.Id));
    }

    [Fact]
    public async Task What_a_session_still_holds_is_its_own_until_its_first_step_cuts_it_off()
    {
        var admission = Admission(sequences: 4, kvBlocks: 8);
        await Converse(admission, "a", Prompt(1, 6 * Block));
        var place = await Soon(admission.EnterAsync("a", Block, default));
        place.Session.CutBack(Block);

        Assert.Equal(6, Assert.Single(admission.Places).Blocks);
        await admission.LeaveAsync(place, keep: true);

        Assert.Equal(6, Assert.Single(admission.Places).Blocks);
    }

    [Fact]
    public async Task Sessions_without_a_cache_are_not_ended_for_room_that_they_do_not_take()
    {
        var admission = Admission(sequences: 4, kvBlocks: 8);
        admission.Restore(new Session("restored", 1, kept: true), 0);
        await Converse(admission, "a", Prompt(1, 6 * Block));

        await Soon(admission.EnterAsync(null, 4 * Block, default));

        Assert.Equal(["a"], _released);
    }

    [Fact]
    public async Task Under_a_crowd_neither_places_nor_blocks_are_ever_given_twice()
    {
        const int Sequences = 3;
        const int Blocks = 16;
        var admission = Admission(Sequences, Blocks, maxWaiting: 1000);
        var running = 0;
        var blocks = 0;
        var random = new Random(7);
        var requests = Enumerable.Range(0, 200)
            .Select(i => (Session: i % 3 == 0 ? $"s{i % 5}" : null, Size: random.Next(1, 8)))
            .Select(request => Task.Run(() => RunAsync(request.Session, request.Size)))
            .ToArray();

        await Task.WhenAll(requests).WaitAsync(TimeSpan.FromSeconds(30));

        async Task RunAsync(string? id, int size)
        {
            var place = await admission.EnterAsync(id, size * Block, default);
            Assert.InRange(Interlocked.Increment(ref running), 1, Sequences);
            Assert.InRange(Interlocked.Add(ref blocks, size), 1, Blocks);
            await Task.Yield();
            place.Session.Cached(size * Block);
            Interlocked.Add(ref blocks, -size);
            Interlocked.Decrement(ref running);
            await admission.LeaveAsync(place, keep: id is not null);
        }
    }

    private Admission Admission(int sequences, int kvBlocks, int maxWaiting = 16) => new(sequences, kvBlocks, maxWaiting, ReleaseAsync);

    private static async Task<Session> Converse(Admission admission, string id, int tokens)
    {
        var place = await Soon(admission.EnterAsync(id, tokens, default));
        place.Session.Cached(tokens);
        await admission.LeaveAsync(place, keep: true);
        return place.Session;
    }

    private static async Task Converse(Admission admission, string id, int[] prompt)
    {
        var place = await Soon(admission.EnterAsync(id, prompt.Length, default, prompt));
        place.Session.Begin(prompt, new SamplingOptions());
        place.Session.Cached(prompt.Length);
        await admission.LeaveAsync(place, keep: true);
    }

    private static int[] Prompt(int token, int length) => [.. Enumerable.Repeat(token, length)];

    private async Task ReleaseAsync(Session session)
    {
        if (_holdReleases is { } hold)
            await hold.Task;
        lock (_released)
            _released.Add(session.Id);
    }

    private static Task<T> Soon<T>(Task<T> task) => task.WaitAsync(TimeSpan.FromSeconds(10));

    private static Task Soon(Task task) => task.WaitAsync(TimeSpan.FromSeconds(10));
}
