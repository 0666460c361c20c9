using System.Runtime.InteropServices;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Grpc.Core;

namespace Distributed.Worker.Tests;

/// <summary>Two stages of a pipeline on one worker, one of them on ILGPU's CPU device.</summary>
public class LocalHopTests
{
    // Nothing listens there: what arrives came without a socket.
    private const string Nowhere = "127.0.0.1:1";

    [Theory]
    [InlineData("ilgpu-cpu", "cpu", "f32")]
    [InlineData("cpu", "ilgpu-cpu", "q8_0")]
    public async Task Steps_have_the_same_bits_without_a_socket_as_through_one(string first, string second, string wire)
    {
        await using var worker = await StartAsync();
        float[]? expected = null;
        foreach (var isLocal in new[] { false, true })
        {
            await LoadAsync(worker, first, second, wire, isLocal);
            using var watch = await WatchAsync(worker);
            await using var forward = await worker.ForwardAsync(RunningWorker.Hello());
            var logits = new List<float>();
            foreach (var (number, start, tokens) in new (long, int, int[])[] { (0, 0, [1, 2, 3, 4, 5]), (1, 5, [6]), (2, 6, [7, 8]) })
            {
                await forward.SendAsync(Step(number, start, tokens));
                var result = (await NextAsync(watch)).Result;
                Assert.Null(result.Failure);
                logits.AddRange(MemoryMarshal.Cast<byte, float>(result.Logits.Span));
                Assert.Equal([0, 1], result.Timings.Select(timing => timing.Stage));
                Assert.All(result.Timings, timing => Assert.True(
                    timing is { ComputeNs: > 0, WireNs: >= 0, DeserializeNs: > 0, QueueNs: >= 0, SerializeNs: > 0 }, timing.ToString()));
            }

            var held = (await worker.Client.ReportKvAsync(new KvRequest())).Stages;
            Assert.Equal([(first, 8), (second, 8)], held.OrderBy(stage => stage.Stage).Select(stage => (stage.Device, stage.Sequences[0].Tokens)));
            await forward.SendAsync(new Release { Epoch = 1, Sequences = { 5 } });
            Assert.Equal([5], (await NextAsync(watch)).Released.Sequences);
            Assert.All((await worker.Client.ReportKvAsync(new KvRequest())).Stages, stage => Assert.Empty(stage.Sequences));
            expected ??= [.. logits];
            Assert.Equal(expected, logits);
            Assert.Equal(8 * RunningWorker.Model.Config.VocabSize, logits.Count);
        }
    }

    [Fact]
    public async Task Refusal_of_the_stage_behind_is_the_answer_to_the_hello()
    {
        await using var worker = await StartAsync();
        await LoadAsync(worker, "cpu", "cpu", "f32", isLocal: true, epochOfSecond: 2);

        var refused = await Assert.ThrowsAsync<StageFailureException>(() => worker.ForwardAsync(RunningWorker.Hello()));

        Assert.Equal((FailureCode.EpochMismatch, 1), (refused.Failure.Code, refused.Failure.Stage));
    }

    [Fact]
    public async Task Stream_may_come_anew_and_a_failed_step_leaves_the_others()
    {
        await using var worker = await StartAsync();
        await LoadAsync(worker, "cpu", "cpu", "f32", isLocal: true);
        using var watch = await WatchAsync(worker);
        for (var round = 0; round < 2; round++)
        {
            await using var forward = await worker.ForwardAsync(RunningWorker.Hello());
            var busy = await Assert.ThrowsAsync<StageFailureException>(() => worker.ForwardAsync(RunningWorker.Hello(1)));
            Assert.Equal(FailureCode.StageBusy, busy.Failure.Code);
            // The first stage refuses it and tells its own watcher; the one behind never sees it, and goes on.
            var wrong = Step(0, 0, [1, 2]);
            wrong.Slices[0].AllLogits = false;
            wrong.Slices[0].Sampling = new() { TopP = 1, RepeatPenalty = 1, Recent = { new int[200] } };
            await forward.SendAsync(wrong);
            await forward.SendAsync(Step(1, 0, [1, 2]));
            Assert.Null((await NextAsync(watch)).Result.Failure);
        }
    }

    [Fact]
    public async Task Stage_behind_that_is_gone_ends_the_stream_and_is_told_by_name()
    {
        await using var worker = await StartAsync();
        await LoadAsync(worker, "cpu", "cpu", "f32", isLocal: true);
        using var first = worker.Client.Watch(new WatchRequest { Pipeline = RunningWorker.Pipeline, Epoch = 1, Stage = 0 });
        Assert.NotNull((await NextAsync(first)).Started);
        await using var forward = await worker.ForwardAsync(RunningWorker.Hello());

        // Loading it anew takes the place of the old one, which the first stage still feeds.
        await LoadSecondAsync(worker, "cpu", "f32", epoch: 1);
        await forward.SendAsync(Step(0, 0, [1, 2]));

        var failure = (await NextAsync(first)).Failure;
        Assert.Equal((FailureCode.UnknownStage, 1), (failure.Code, failure.Stage));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Steps_of_a_stream_that_has_ended_do_not_get_into_the_way_of_the_next(bool isLocal)
    {
        // The first stage is so slow that most of them wait when their stream ends.
        await using var worker = await StartAsync();
        await LoadAsync(worker, "ilgpu-cpu", "cpu", "f32", isLocal);
        using var watch = await WatchAsync(worker);
        var ended = await worker.ForwardAsync(RunningWorker.Hello());
        for (var number = 0; number < 4; number++)
            await ended.SendAsync(Step(10 + number, number, [number]));
        await ended.AbortAsync();

        await using var forward = await AgainAsync();
        using var first = worker.Client.Watch(new WatchRequest { Pipeline = RunningWorker.Pipeline, Epoch = 1, Stage = 0 });
        Assert.NotNull((await NextAsync(first)).Started);
        await forward.SendAsync(Step(0, 0, [7, 8]));

        StageEvent told;
        while ((told = await NextAsync(watch)).Result is { Step: not 0 })
        {
        }

        Assert.True(told.Result is { Failure: null, Step: 0 }, $"{told}");
        Assert.Equal([2, 2], (await worker.Client.ReportKvAsync(new KvRequest())).Stages.Select(stage => stage.Sequences.Single().Tokens));
        using var nothing = new CancellationTokenSource(TimeSpan.FromMilliseconds(50));
        var more = await first.ResponseStream.MoveNext(nothing.Token).ContinueWith(next => next.IsCompletedSuccessfully && next.Result, TaskScheduler.Default);
        Assert.False(more, more ? $"{first.ResponseStream.Current}" : "");

        async Task<ForwardStream> AgainAsync()
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
            while (true)
            {
                try
                {
                    return await worker.ForwardAsync(RunningWorker.Hello());
                }
                catch (StageFailureException error) when (error.Failure.Code == FailureCode.StageBusy)
                {
                    await Task.Delay(1, patience.Token);
                }
            }
        }
    }

    private static Task<RunningWorker> StartAsync() =>
        RunningWorker.StartAsync(new WorkerOptions { Name = "w", Threads = 1, Devices = ["ilgpu-cpu", "cpu"] });

    private static async Task LoadAsync(
        RunningWorker worker, string first, string second, string wire, bool isLocal, long epochOfSecond = 1)
    {
        await LoadSecondAsync(worker, second, wire, epochOfSecond);
        var request = RunningWorker.WholeModel();
        (request.NumStages, request.EndLayer, request.Device, request.Wire) = (2, 3, first, wire);
        (request.Worker, request.NextWorker, request.NextAddress) = isLocal ? ("w", "w", Nowhere) : ("w", "", worker.Address.ToString());
        Assert.NotNull((await worker.LoadAsync(request)).Loaded);
    }

    private static async Task LoadSecondAsync(RunningWorker worker, string device, string wire, long epoch)
    {
        var request = RunningWorker.WholeModel();
        (request.NumStages, request.Stage, request.FirstLayer, request.Device, request.Wire) = (2, 1, 3, device, wire);
        (request.Worker, request.Epoch) = ("w", epoch);
        Assert.NotNull((await worker.LoadAsync(request)).Loaded);
    }

    private static async Task<AsyncServerStreamingCall<StageEvent>> WatchAsync(RunningWorker worker)
    {
        var watch = worker.Client.Watch(new WatchRequest { Pipeline = RunningWorker.Pipeline, Epoch = 1, Stage = 1 });
        Assert.NotNull((await NextAsync(watch)).Started);
        return watch;
    }

    private static async Task<StageEvent> NextAsync(AsyncServerStreamingCall<StageEvent> watch)
    {
        // ILGPU's CPU device is slow where other tests want the same cores.
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(100));
        Assert.True(await watch.ResponseStream.MoveNext(patience.Token), "the worker ended the watch");
        return watch.ResponseStream.Current;
    }

    private static Step Step(long number, int start, int[] tokens)
    {
        var step = new Step { Epoch = 1, Step_ = number };
        step.Slices.Add(new Slice { Sequence = 5, Start = start, Count = tokens.Length, AllLogits = true });
        step.Tokens.Add(tokens);
        return step;
    }
}
