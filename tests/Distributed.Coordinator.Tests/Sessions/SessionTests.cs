using Distributed.Coordinator.Scheduling;
using Distributed.Coordinator.Sessions;
using Distributed.Core.Sampling;
using Distributed.Grains;

namespace Distributed.Coordinator.Tests.Sessions;

public sealed class SessionTests
{
    private static readonly KvLayout Layout = new("p", 3, [new("w0", "cpu", 0, 3, 1000), new("w1", "cuda:0", 3, 8, 2000)]);
    private static readonly SamplingOptions Greedy = new() { Temperature = 0 };

    [Fact]
    public void A_longer_prompt_reuses_all_that_is_cached()
    {
        var session = new Session("a", 1, kept: true);
        Assert.Equal(0, session.Begin([1, 2, 3], Greedy));
        session.Append(4);
        session.Cached(4);

        Assert.Equal(4, session.Begin([1, 2, 3, 4, 5, 6], Greedy));
    }

    [Fact]
    public void A_prompt_that_differs_reuses_what_comes_before_the_difference()
    {
        var session = new Session("a", 1, kept: true);
        session.Begin([1, 2, 3, 4], Greedy);
        session.Cached(4);

        Assert.Equal(2, session.Begin([1, 2, 9, 4, 5], Greedy));
        Assert.Equal([1, 2, 9, 4, 5], session.Recent(10));
    }

    [Fact]
    public void The_same_prompt_computes_its_last_token_again()
    {
        var session = new Session("a", 1, kept: true);
        session.Begin([1, 2, 3], Greedy);
        session.Cached(3);

        Assert.Equal(2, session.Begin([1, 2, 3], Greedy));
    }

    [Fact]
    public void Tokens_not_yet_in_the_KV_cache_are_not_reused()
    {
        var session = new Session("a", 1, kept: true);
        session.Begin([1, 2, 3], Greedy);
        session.Cached(2);

        Assert.Equal(2, session.Begin([1, 2, 3, 4], Greedy));
    }

    [Fact]
    public void A_prompt_of_which_nothing_was_computed_is_not_reused()
    {
        var session = new Session("a", 1, kept: true);
        session.Begin([1, 2, 3, 4, 5], Greedy);
        session.Cached(5);
        session.Begin([1, 9], Greedy);

        Assert.Equal(1, session.Begin([1, 9, 8, 7, 6, 5], Greedy));
    }

    [Fact]
    public void A_record_says_for_each_stage_what_lies_there()
    {
        var session = new Session("a", 7, kept: true);
        session.Begin([.. Enumerable.Range(0, 33)], Greedy);
        session.Cached(33);

        var record = session.TakeChanges(Layout, out var from);

        Assert.Equal(0, from);
        Assert.Equal(33, record.Tokens.Length);
        Assert.Equal(("p", 3L, 7L, SessionState.Running), (record.Pipeline, record.Epoch, record.Sequence, record.State));
        Assert.Equal(
            [("w0", "cpu", 0, 3, 33, 2, 2000L), ("w1", "cuda:0", 3, 8, 33, 2, 4000L)],
            record.Stages.Select(s => (s.Worker, s.Device, s.FirstLayer, s.EndLayer, s.KvTokens, s.KvBlocks, s.KvBytes)));
    }

    [Fact]
    public void A_record_has_only_the_tokens_that_are_new_since_the_last()
    {
        var session = new Session("a", 1, kept: true);
        session.Begin([1, 2, 3], Greedy);
        session.TakeChanges(Layout, out _);
        session.Append(4);

        var second = session.TakeChanges(Layout, out var from);
        Assert.Equal(3, from);
        Assert.Equal([4], second.Tokens.AsEnumerable());

        session.Cached(4);
        session.Begin([1, 9], Greedy);
        var third = session.TakeChanges(Layout, out from);
        Assert.Equal(1, from);
        Assert.Equal([9], third.Tokens.AsEnumerable());
        Assert.True(third.Revision > second.Revision);
    }

    [Fact]
    public void What_a_request_is_about_to_cut_off_is_offered_to_nobody()
    {
        var session = new Session("a", 1, kept: true);
        int[] tokens = [.. Enumerable.Range(1, 100)];
        session.Begin(tokens, Greedy);
        session.Cached(100);
        var run = new SequenceRun(session, new GenerationRequest { Tokens = [1, 2, 3, 900], Sampling = Greedy }, (_, _) => null, (_, _) => { });

        run.Join();

        Assert.Equal((3, 3), (run.Sent, session.Reusable(tokens)));
    }

    [Fact]
    public void A_session_that_began_with_blocks_of_another_one_goes_back_to_whole_ones()
    {
        var session = new Session("a", 1, kept: true);
        int[] tokens = [.. Enumerable.Range(1, 100)];
        session.Take(64);
        session.Begin(tokens, Greedy);
        session.Cached(100);

        Assert.Equal(32, session.Reusable([.. tokens.Take(40), 900]));
        Assert.Equal(70, session.Reusable([.. tokens.Take(70), 900]));
    }

    [Fact]
    public void A_restored_session_goes_on_behind_a_whole_block_where_what_agrees_ends_within_a_shared_one()
    {
        int[] tokens = [.. Enumerable.Range(1, 100)];
        var before = new Session("a", 1, kept: true);
        before.Begin(tokens, Greedy);
        var record = before.TakeChanges(Layout, out _);

        Assert.Equal(0, new Session(record, cached: 3, shared: 64).Reusable(tokens));
        Assert.Equal(32, new Session(record, cached: 40, shared: 64).Reusable(tokens));
        Assert.Equal(70, new Session(record, cached: 70, shared: 64).Reusable(tokens));
    }

    [Fact]
    public void After_the_end_no_stage_holds_anything()
    {
        var session = new Session("a", 1, kept: true);
        session.Begin([1, 2, 3], Greedy);
        session.Cached(3);
        session.End();

        var record = session.TakeChanges(Layout, out _);

        Assert.Equal(SessionState.Ended, record.State);
        Assert.All(record.Stages, stage => Assert.Equal((0, 0, 0L), (stage.KvTokens, stage.KvBlocks, stage.KvBytes)));
    }
}
