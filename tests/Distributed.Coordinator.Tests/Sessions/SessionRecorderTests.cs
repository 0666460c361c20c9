using System.Collections.Concurrent;
using System.Diagnostics;
using Distributed.Coordinator.Sessions;
using Distributed.Grains;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Orleans.Storage;

namespace Distributed.Coordinator.Tests.Sessions;

public sealed class SessionRecorderTests : IAsyncLifetime
{
    private static readonly KvLayout Layout = new("p", 1, [new("w0", "cpu", 0, 3, 1000)]);
    private readonly GatedStorage _storage = new();
    private LocalSilo _silo = null!;
    private SessionRecorder _recorder = null!;

    public async Task InitializeAsync()
    {
        _silo = await LocalSilo.StartAsync(
            silo => silo.ConfigureServices(services => services.AddKeyedSingleton<IGrainStorage>(GrainStorage.Name, _storage)), LogLevel.Warning, default);
        _recorder = StartRecorder();
    }

    public async Task DisposeAsync()
    {
        await _recorder.DisposeAsync();
        await _silo.DisposeAsync();
    }

    [Fact]
    public async Task The_grain_has_every_token_after_many_small_writes()
    {
        var session = new Session("a", 1, kept: true);
        session.Begin([1, 2, 3], new());
        for (var token = 4; token <= 200; token++)
        {
            session.Append(token);
            session.Cached(token - 1);
            _recorder.Changed(session);
            if (token % 20 == 0)
                await Task.Delay(5);
        }

        await FlushAsync();

        var record = await Grain("a").GetAsync();
        Assert.Equal(Enumerable.Range(1, 200), record!.Tokens);
        Assert.Equal(199, record.Stages[0].KvTokens);
        Assert.Equal(7, record.Stages[0].KvBlocks);
        Assert.Equal(0.8f, record.Sampling.Temperature);
    }

    [Fact]
    public async Task Changes_made_while_a_write_hangs_wait_for_nothing_and_end_in_one_more_write()
    {
        var gate = new TaskCompletionSource();
        var session = new Session("a", 1, kept: true);
        session.Begin([1], new());
        _storage.Gate = gate.Task;
        _recorder.Changed(session, soon: true);
        await _storage.Held.WaitAsync(RunningCluster.Patience);

        // The write hangs until these are through: none of them waits for it.
        var changes = Task.Run(() =>
        {
            for (var token = 0; token < 10_000; token++)
            {
                session.Append(token);
                _recorder.Changed(session, soon: true);
            }
        });
        await changes.WaitAsync(RunningCluster.Patience);
        _storage.Gate = null;
        gate.SetResult();
        await FlushAsync();
        Assert.Equal(10_001, (await Grain("a").GetAsync())!.Tokens.Length);
        // Two of the session, one of the directory.
        Assert.Equal(3, _storage.Writes);
    }

    [Fact]
    public async Task A_write_that_fails_is_told_once_and_made_again()
    {
        _storage.FailuresLeft = 3;
        var told = new ConcurrentQueue<string?>();
        _recorder.UnwrittenChanged += told.Enqueue;
        var session = new Session("a", 1, kept: true);
        session.Begin([1, 2, 3], new());
        _recorder.Changed(session, soon: true);

        await FlushAsync();

        Assert.Equal(0, _storage.FailuresLeft);
        Assert.Equal(2, told.Count);
        Assert.Contains("the disk is broken", told.First());
        Assert.Null(told.Last());
        Assert.Null(_recorder.Unwritten);
        Assert.Equal([1, 2, 3], (await Grain("a").GetAsync())!.Tokens.AsEnumerable());
    }

    [Fact]
    public async Task A_grain_that_lost_its_tokens_gets_all_of_them_again()
    {
        var session = new Session("a", 1, kept: true);
        session.Begin([1, 2, 3], new());
        _recorder.Changed(session);
        await FlushAsync();
        await Grain("a").ForgetAsync();

        session.Append(4);
        _recorder.Changed(session);
        await FlushAsync();

        Assert.Equal([1, 2, 3, 4], (await Grain("a").GetAsync())!.Tokens.AsEnumerable());
    }

    [Fact]
    public async Task A_storage_that_hangs_does_not_keep_the_recorder_from_stopping()
    {
        _storage.Gate = new TaskCompletionSource().Task;
        var session = new Session("a", 1, kept: true);
        session.Begin([1], new());
        _recorder.Changed(session, soon: true);
        await Task.Delay(50);

        var watch = Stopwatch.StartNew();
        await _recorder.DisposeAsync();

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(4), $"stopping took {watch.Elapsed}");
        _recorder = StartRecorder();
    }

    [Fact]
    public async Task The_directory_lists_sessions_and_forgets_the_oldest_ended_ones()
    {
        var kept = new Session("kept", 1, kept: true);
        kept.Begin([1], new());
        _recorder.Changed(kept);
        await FlushAsync();
        for (var i = 0; i <= ISessionDirectoryGrain.MaxEnded; i++)
        {
            var session = new Session($"request-{i}", i + 2, kept: false);
            session.Begin([1], new());
            session.End();
            _recorder.Changed(session, soon: true);
            await FlushAsync();
        }

        var sessions = await _silo.Grains.GetGrain<ISessionDirectoryGrain>(ISessionDirectoryGrain.Key).ListAsync();

        Assert.Equal(ISessionDirectoryGrain.MaxEnded + 1, sessions.Length);
        Assert.Contains("kept", sessions);
        Assert.DoesNotContain("request-0", sessions);
        Assert.Null(await Grain("request-0").GetAsync());
        Assert.NotNull(await Grain("request-1").GetAsync());
    }

    private SessionRecorder StartRecorder() => new(_silo.Grains, Layout, TimeSpan.FromMilliseconds(20));

    private ISessionGrain Grain(string id) => _silo.Grains.GetGrain<ISessionGrain>(id);

    private async Task FlushAsync()
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        await _recorder.FlushAsync(timeout.Token);
    }
}
