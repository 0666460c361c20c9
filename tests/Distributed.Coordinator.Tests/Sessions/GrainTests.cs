using Distributed.Coordinator.Sessions;
using Distributed.Core.Sampling;
using Distributed.Grains;
using Microsoft.Extensions.Logging;

namespace Distributed.Coordinator.Tests.Sessions;

public sealed class GrainTests : IAsyncLifetime
{
    private LocalSilo _silo = null!;

    public async Task InitializeAsync() => _silo = await LocalSilo.StartAsync(null, LogLevel.Warning, default);

    public async Task DisposeAsync() => await _silo.DisposeAsync();

    [Fact]
    public async Task A_session_takes_tokens_from_a_position_on_and_cuts_what_lay_behind()
    {
        var grain = _silo.Grains.GetGrain<ISessionGrain>("a");
        Assert.Null(await grain.GetAsync());
        Assert.Equal(4, await grain.RecordAsync(Record(1, 1, 2, 3, 4), from: 0));
        Assert.Equal(3, await grain.RecordAsync(Record(2, 9), from: 2));

        Assert.Equal([1, 2, 9], (await grain.GetAsync())!.Tokens.AsEnumerable());
    }

    [Fact]
    public async Task A_session_refuses_tokens_behind_a_gap_and_says_what_it_has()
    {
        var grain = _silo.Grains.GetGrain<ISessionGrain>("a");
        await grain.RecordAsync(Record(1, 1, 2), from: 0);

        Assert.Equal(2, await grain.RecordAsync(Record(2, 5), from: 4));

        Assert.Equal([1, 2], (await grain.GetAsync())!.Tokens.AsEnumerable());
    }

    [Fact]
    public async Task A_late_write_does_not_undo_a_newer_one()
    {
        var grain = _silo.Grains.GetGrain<ISessionGrain>("a");
        await grain.RecordAsync(Record(5, 1, 2), from: 0);
        await grain.RecordAsync(Record(4, 7), from: 0);
        Assert.Equal([1, 2], (await grain.GetAsync())!.Tokens.AsEnumerable());

        await grain.RecordAsync(Record(1, 8) with { Epoch = 2 }, from: 0);
        Assert.Equal([8], (await grain.GetAsync())!.Tokens.AsEnumerable());
    }

    [Fact]
    public async Task A_session_keeps_every_field()
    {
        var grain = _silo.Grains.GetGrain<ISessionGrain>("a");
        var record = Record(1, 1, 2) with
        {
            Sampling = new SamplingOptions
            {
                Temperature = 1,
                TopK = 2,
                TopP = 0.3f,
                MinP = 0.4f,
                RepeatPenalty = 1.5f,
                RepeatLastN = 6,
                Seed = 7,
            },
            Stages =
            [
                new() { Stage = 0, Worker = "w", Device = "cpu", FirstLayer = 1, EndLayer = 2, KvTokens = 3, KvBlocks = 4, KvBytes = 5 },
            ],
            State = SessionState.Idle,
        };
        await grain.RecordAsync(record, from: 0);

        var read = (await grain.GetAsync())!;

        Assert.Equal(record.Tokens.AsEnumerable(), read.Tokens);
        Assert.Equal(record.Stages.AsEnumerable(), read.Stages);
        Assert.Equal(record with { Tokens = [], Stages = [] }, read with { Tokens = [], Stages = [] });
    }

    [Fact]
    public async Task Epochs_rise_by_one_and_an_old_placement_does_not_replace_a_new_one()
    {
        var grain = _silo.Grains.GetGrain<IPipelineGrain>("p");
        Assert.Equal(1, await grain.BeginEpochAsync());
        Assert.Equal(2, await grain.BeginEpochAsync());
        var stage = new PipelineStage { Worker = "w", Address = "127.0.0.1:1", Device = "cpu", FirstLayer = 0, EndLayer = 8, KvBlocks = 9 };
        var record = new PipelineRecord { Epoch = 2, Name = "n", Model = "m", Placed = DateTimeOffset.UnixEpoch, Stages = [stage] };
        await grain.PlaceAsync(record);
        await grain.PlaceAsync(record with { Epoch = 1, Name = "old" });

        var read = (await grain.GetAsync())!;

        Assert.Equal("n", read.Name);
        Assert.Equal([stage], read.Stages.AsEnumerable());
    }

    [Fact]
    public async Task Two_silos_in_one_process_do_not_know_each_other()
    {
        await using var other = await LocalSilo.StartAsync(null, LogLevel.Warning, default);
        await _silo.Grains.GetGrain<IPipelineGrain>("p").BeginEpochAsync();

        Assert.Equal(1, await other.Grains.GetGrain<IPipelineGrain>("p").BeginEpochAsync());
    }

    private static SessionRecord Record(long revision, params int[] tokens) => new()
    {
        Id = "a",
        State = SessionState.Running,
        Tokens = [.. tokens],
        Sampling = new(),
        Pipeline = "p",
        Epoch = 1,
        Sequence = 1,
        Created = DateTimeOffset.UnixEpoch,
        Updated = DateTimeOffset.UnixEpoch,
        Revision = revision,
    };
}
