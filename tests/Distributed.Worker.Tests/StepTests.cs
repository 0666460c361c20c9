namespace Distributed.Worker.Tests;

public class StepTests
{
    private static readonly Distributed.Cluster.Protocol.Sampling Greedy = new() { Temperature = 0, TopP = 1, RepeatPenalty = 1 };

    [Fact]
    public async Task Step_comes_back_with_a_token_and_the_time_of_every_part()
    {
        await using var stage = await OpenStage.StartAsync();

        var result = await stage.RunAsync(Step(0, sequence: 5, start: 0, [1, 2, 3]));

        Assert.Null(result.Failure);
        var token = Assert.Single(result.Tokens);
        Assert.Equal(5, token.Sequence);
        var timing = Assert.Single(result.Timings);
        Assert.True(timing.ComputeNs > 0 && timing.WireNs > 0 && timing.DeserializeNs > 0 && timing.QueueNs >= 0 && timing.SerializeNs > 0, timing.ToString());
    }

    [Fact]
    public async Task Step_that_wants_moments_gets_them_in_order_and_they_agree_with_the_times()
    {
        await using var stage = await OpenStage.StartAsync();
        var step = Step(0, sequence: 5, start: 0, [1, 2, 3]);
        (step.WantMoments, step.WantLayerMoments) = (true, true);

        var timing = Assert.Single((await stage.RunAsync(step)).Timings);

        var moments = timing.Moments;
        long[] layers = [.. moments.LayersNs];
        Assert.Equal(9, layers.Length);
        long[] all = [moments.ArrivedNs, moments.AcceptedNs, moments.StartedNs, .. layers, moments.ComputedNs, moments.HandedNs];
        Assert.Equal(all.Order(), all);
        Assert.Equal(timing.DeserializeNs, moments.AcceptedNs - moments.ArrivedNs);
        Assert.Equal(timing.QueueNs, moments.StartedNs - moments.AcceptedNs);
        Assert.Equal(timing.ComputeNs, moments.ComputedNs - moments.StartedNs);
        Assert.Equal(timing.SerializeNs, moments.HandedNs - moments.ComputedNs);

        step = Step(1, sequence: 5, start: 3, [4]);
        step.WantMoments = true;
        Assert.Empty((await stage.RunAsync(step)).Timings[0].Moments.LayersNs);
        Assert.Null((await stage.RunAsync(Step(2, sequence: 5, start: 4, [4]))).Timings[0].Moments);
    }

    [Fact]
    public async Task Report_has_the_tokens_blocks_and_bytes_of_each_sequence_and_release_frees_them()
    {
        await using var stage = await OpenStage.StartAsync();
        await stage.RunAsync(Step(0, sequence: 5, start: 0, [.. Enumerable.Range(1, 30)]));
        await stage.RunAsync(Step(1, sequence: 5, start: 30, [1, 2, 3]));
        await stage.RunAsync(Step(2, sequence: 6, start: 0, [9]));

        var before = Assert.Single((await stage.Worker.Client.ReportKvAsync(new KvRequest())).Stages);
        Assert.Equal([(5, 33, 2), (6, 1, 1)], before.Sequences.Select(kv => ((int)kv.Sequence, kv.Tokens, kv.Blocks)).Order());
        Assert.Equal(1, before.FreeBlocks);
        Assert.All(before.Sequences, kv => Assert.Equal(kv.Blocks * before.BlockBytes, kv.Bytes));

        await stage.ReleaseAsync(5);
        var after = Assert.Single((await stage.Worker.Client.ReportKvAsync(new KvRequest())).Stages);
        Assert.Equal([6], after.Sequences.Select(kv => (int)kv.Sequence));
        Assert.Equal(3, after.FreeBlocks);
    }

    [Fact]
    public async Task Slice_that_starts_earlier_cuts_the_cache_back_and_gives_the_same_token()
    {
        await using var stage = await OpenStage.StartAsync();
        var first = await stage.RunAsync(Step(0, sequence: 1, start: 0, [4, 5, 6, 7]));
        await stage.RunAsync(Step(1, sequence: 1, start: 4, [100, 200]));

        var again = await stage.RunAsync(Step(2, sequence: 1, start: 2, [6, 7]));

        Assert.Equal(first.Tokens, again.Tokens);
        Assert.Equal(4, (await stage.Worker.Client.ReportKvAsync(new KvRequest())).Stages[0].Sequences[0].Tokens);
    }

    private static readonly Dictionary<string, (Action<Step> Change, FailureCode Code, string[] Mentions)> Cases = new()
    {
        ["no slice"] = (step => step.Slices.Clear(), FailureCode.BadFrame, ["no slice"]),
        ["too few tokens"] = (step => step.Tokens.RemoveAt(0), FailureCode.BadFrame, ["2 tokens", "3"]),
        ["too many tokens"] = (step => Lengthen(step, 700_000), FailureCode.BadFrame, ["700000 tokens", "32"]),
        ["too many logits"] = (
            step =>
            {
                Lengthen(step, 700_000);
                step.Slices[0].AllLogits = true;
            },
            FailureCode.BadFrame,
            ["700000 tokens"]),
        ["token id"] = (step => step.Tokens[0] = 70_000, FailureCode.BadFrame, ["70000", "1204"]),
        ["negative token id"] = (step => step.Tokens[0] = -1, FailureCode.BadFrame, ["-1"]),
        ["hidden state into stage 0"] = (step => step.Hidden = ByteString.CopyFrom(1, 2, 3), FailureCode.BadFrame, ["3 bytes"]),
        ["gap"] = (step => step.Slices[0].Start = 7, FailureCode.BadFrame, ["7"]),
        ["beyond the context"] = (step => step.Slices[0].Start = int.MaxValue, FailureCode.BadFrame, ["2147483647"]),
        ["temperature"] = (step => step.Slices[0].Sampling = new() { Temperature = float.NaN, TopP = 1, RepeatPenalty = 1 }, FailureCode.BadFrame, ["temperature", "NaN"]),
        ["top log-probs"] = (step => step.Slices[0].Sampling = new() { TopP = 1, RepeatPenalty = 1, TopLogProbs = 1 << 30 }, FailureCode.BadFrame, ["top-log-probs"]),
        ["negative count"] = (step => step.Slices[0].Count = -3, FailureCode.BadFrame, []),
    };

    public static TheoryData<string> BadSteps => [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(BadSteps))]
    public async Task Bad_step_is_answered_with_a_failure_and_the_stage_goes_on(string what)
    {
        var (change, code, mentions) = Cases[what];
        await using var stage = await OpenStage.StartAsync();
        var step = Step(0, sequence: 1, start: 0, [1, 2, 3]);
        change(step);

        var bad = await stage.RunAsync(step);
        Assert.True(bad.Failure?.Code == code, $"{what}: {bad.Failure}");
        Assert.All(mentions, mention => Assert.Contains(mention, bad.Failure.Message, StringComparison.Ordinal));

        var good = await stage.RunAsync(Step(1, sequence: 1, start: 0, [1, 2, 3]));
        Assert.Null(good.Failure);
    }

    [Fact]
    public async Task Step_without_free_blocks_fails_with_numbers_and_takes_nothing()
    {
        await using var stage = await OpenStage.StartAsync();
        for (var i = 0; i < 4; i++)
            await stage.RunAsync(Step(i, sequence: i, start: 0, [1]));

        var full = await stage.RunAsync(Step(4, sequence: 4, start: 0, [1]));

        Assert.Equal(FailureCode.KvFull, full.Failure.Code);
        Assert.Contains("4", full.Failure.Message, StringComparison.Ordinal);
        var report = (await stage.Worker.Client.ReportKvAsync(new KvRequest())).Stages[0];
        Assert.Equal(4, report.Sequences.Count);
    }

    [Fact]
    public async Task Step_out_of_order_ends_the_stream_and_a_new_stream_begins_anew()
    {
        await using var stage = await OpenStage.StartAsync();
        await stage.RunAsync(Step(7, sequence: 1, start: 0, [1]));

        await stage.Forward.SendAsync(Step(7, sequence: 1, start: 1, [1]));

        var loss = await stage.Forward.Closed.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(FailureCode.BadFrame, loss!.Failure.Code);
        Assert.Contains("step 7 after step 7", loss.Message, StringComparison.Ordinal);
        Assert.Equal(FailureCode.BadFrame, (await stage.NextAsync()).Failure.Code);
        await stage.Forward.DisposeAsync();

        await using var again = await stage.Worker.ForwardAsync(RunningWorker.Hello());
        await again.SendAsync(Step(0, sequence: 1, start: 1, [1]));
        Assert.Null((await stage.NextAsync()).Result.Failure);
    }

    [Fact]
    public async Task Frame_of_another_epoch_ends_the_stream_with_both_epochs()
    {
        await using var stage = await OpenStage.StartAsync();
        var step = Step(0, sequence: 1, start: 0, [1]);
        step.Epoch = 2;

        await stage.Forward.SendAsync(step);

        var loss = await stage.Forward.Closed.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(FailureCode.EpochMismatch, loss!.Failure.Code);
        Assert.Contains("epoch 2", loss.Message, StringComparison.Ordinal);
        Assert.Contains("epoch 1", loss.Message, StringComparison.Ordinal);
    }

    private static void Lengthen(Step step, int tokens)
    {
        step.Tokens.Add(new int[tokens - step.Tokens.Count]);
        step.Slices[0].Count = tokens;
    }

    private static Step Step(long number, long sequence, int start, int[] tokens)
    {
        var step = new Step { Epoch = 1, Step_ = number };
        step.Slices.Add(new Slice { Sequence = sequence, Start = start, Count = tokens.Length, Sampling = Greedy });
        step.Tokens.Add(tokens);
        return step;
    }

    /// <summary>The whole sample model on one worker, watched, with its Forward stream open.</summary>
    private sealed class OpenStage : IAsyncDisposable
    {
        private readonly AsyncServerStreamingCall<StageEvent> _watch;

        private OpenStage(RunningWorker worker, AsyncServerStreamingCall<StageEvent> watch, ForwardStream forward) =>
            (Worker, _watch, Forward) = (worker, watch, forward);

        public RunningWorker Worker { get; }

        public ForwardStream Forward { get; }

        public static async Task<OpenStage> StartAsync()
        {
            var worker = await RunningWorker.StartAsync();
            Assert.NotNull((await worker.LoadAsync(RunningWorker.WholeModel())).Loaded);
            var watch = worker.Client.Watch(new WatchRequest { Pipeline = RunningWorker.Pipeline, Epoch = 1, Stage = 0 });
            await watch.ResponseStream.MoveNext(CancellationToken.None);
            Assert.NotNull(watch.ResponseStream.Current.Started);
            return new OpenStage(worker, watch, await worker.ForwardAsync(RunningWorker.Hello()));
        }

        public async Task<StepResult> RunAsync(Step step)
        {
            await Forward.SendAsync(step);
            return (await NextAsync()).Result;
        }

        public async Task ReleaseAsync(long sequence)
        {
            await Forward.SendAsync(new Release { Epoch = 1, Sequences = { sequence } });
            Assert.Equal([sequence], (await NextAsync()).Released.Sequences);
        }

        public async ValueTask DisposeAsync()
        {
            await Forward.DisposeAsync();
            _watch.Dispose();
            await Worker.DisposeAsync();
        }

        public async Task<StageEvent> NextAsync()
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            Assert.True(await _watch.ResponseStream.MoveNext(patience.Token), "the worker ended the watch");
            return _watch.ResponseStream.Current;
        }
    }
}
