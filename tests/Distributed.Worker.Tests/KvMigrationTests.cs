using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Grpc.Core;

namespace Distributed.Worker.Tests;

/// <summary>The KV cache of a sequence on its way from one stage of a real worker to another.</summary>
public sealed class KvMigrationTests : IAsyncLifetime
{
    private const string Next = "next";
    private const long Sequence = 5;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly int[] Tokens = [.. Enumerable.Range(20, 30)];
    private RunningWorker _worker = null!;

    public async Task InitializeAsync()
    {
        _worker = await RunningWorker.StartAsync(new WorkerOptions { Name = "w", Threads = 1 });
        foreach (var pipeline in (string[])[RunningWorker.Pipeline, Next])
        {
            var request = RunningWorker.WholeModel();
            request.Pipeline = pipeline;
            Assert.NotNull((await _worker.LoadAsync(request)).Loaded);
        }

        await DrawAsync(RunningWorker.Pipeline, 0, 0, Tokens);
        await DrawAsync(RunningWorker.Pipeline, 1, Tokens.Length, [50, 51, 52, 53, 54]);
    }

    public async Task DisposeAsync() => await _worker.DisposeAsync();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_was_moved_gives_the_tokens_of_what_was_not(bool isElsewhere)
    {
        var reply = await _worker.Client.MoveKvAsync(Move(move => move.Sources[0].Address = isElsewhere ? $"{_worker.Address}" : ""));

        var held = (await _worker.Client.ReportKvAsync(new KvRequest { WantTokens = true })).Stages;
        Assert.All(held, stage => Assert.Equal([.. Tokens, 50, 51, 52, 53, 54], Assert.Single(stage.Sequences).TokenIds));
        Assert.Equal(held[0].Sequences[0].Bytes, reply.Bytes);
        Assert.Equal(await DrawAsync(RunningWorker.Pipeline, 2, Tokens.Length + 5, [60]), await DrawAsync(Next, 2, Tokens.Length + 5, [60]));
    }

    [Fact]
    public async Task What_cannot_be_moved_is_refused_by_name_and_leaves_nothing()
    {
        (FailureCode Code, string Says, Action<MoveKvRequest> Change)[] wrong =
        [
            (FailureCode.UnknownStage, "no stage 3", move => move.Stage = 3),
            (FailureCode.EpochMismatch, "epoch", move => move.Epoch = 2),
            (FailureCode.BadFrame, "term", move => move.Term = 9),
            (FailureCode.BadFrame, "sources", move => move.Sources.Clear()),
            (FailureCode.BadFrame, "sources", move => move.Sources[0].EndLayer = int.MaxValue),
            (FailureCode.BadFrame, "sequences", move => move.Sequences.Clear()),
            (FailureCode.BadFrame, "count", move => move.Sequences[0].TokenIds.Clear()),
            (FailureCode.BadFrame, "twice", move => move.Sequences.Add(move.Sequences[0])),
            (FailureCode.BadFrame, "tokens is 36", move => move.Sequences[0].TokenIds.Add(1)),
            (FailureCode.BadFrame, "of sequence 6", move => move.Sequences[0].Sequence = 6),
            (FailureCode.KvFull, "KV cache is full", move => move.Sequences[0].TokenIds.Add(Enumerable.Repeat(1, 128))),
            (FailureCode.UnknownStage, "no stage 0", move => move.Sources[0].Pipeline = "none"),
            (FailureCode.EpochMismatch, "epoch", move => move.Sources[0].Epoch = 7),
            (FailureCode.BadFrame, "must be HOST:PORT", move => move.Sources[0].Address = "nowhere"),
            (FailureCode.HopLost, "", move => move.Sources[0].Address = "127.0.0.1:1"),
        ];
        foreach (var (code, says, change) in wrong)
        {
            var error = await Assert.ThrowsAsync<RpcException>(
                async () => await _worker.Client.MoveKvAsync(Move(change), deadline: DateTime.UtcNow + Patience));

            var failure = StageFailureException.From(error, FailureCode.FailureUnspecified, "").Failure;
            Assert.True((code, failure.Message.Contains(says, StringComparison.Ordinal)) == (failure.Code, true), $"{code} {says}: {failure}");
            var next = (await _worker.Client.ReportKvAsync(new KvRequest { Pipeline = Next })).Stages[0];
            Assert.Equal((0, next.Blocks), (next.Sequences.Count, next.FreeBlocks));
        }

        using var reading = _worker.Client.ReadKv(new ReadKvRequest
        {
            Pipeline = RunningWorker.Pipeline,
            Epoch = 1,
            EndLayer = 1,
            Layout = "another",
            Sequences = { new KvLength { Sequence = Sequence, Tokens = 1 } },
        });
        var unread = await Assert.ThrowsAsync<RpcException>(() => reading.ResponseStream.MoveNext(default));
        Assert.Contains("layout is another: must be cpu f16", unread.Message, StringComparison.Ordinal);
        Assert.True((await _worker.Client.MoveKvAsync(Move(_ => { }))).Bytes > 0);
    }

    private static MoveKvRequest Move(Action<MoveKvRequest> change)
    {
        var move = new MoveKvRequest
        {
            Pipeline = Next,
            Epoch = 1,
            Sources = { new KvSource { Pipeline = RunningWorker.Pipeline, Epoch = 1, EndLayer = RunningWorker.Model.Config.NumLayers, Worker = "w" } },
            Sequences = { new MovedSequence { Sequence = Sequence, TokenIds = { Tokens } } },
        };
        move.Sequences[0].TokenIds.Add([50, 51, 52, 53, 54]);
        change(move);
        return move;
    }

    // The greedy token behind some tokens.
    private async Task<int> DrawAsync(string pipeline, long number, int start, int[] tokens)
    {
        using var timeout = new CancellationTokenSource(Patience);
        using var watch = _worker.Client.Watch(new WatchRequest { Pipeline = pipeline, Epoch = 1 }, cancellationToken: timeout.Token);
        Assert.True(await watch.ResponseStream.MoveNext(timeout.Token));
        var hello = RunningWorker.Hello();
        hello.Pipeline = pipeline;
        await using var forward = await _worker.ForwardAsync(hello);
        var step = new Step { Epoch = 1, Step_ = number, Tokens = { tokens } };
        var greedy = new Cluster.Protocol.Sampling { TopP = 1, RepeatPenalty = 1 };
        step.Slices.Add(new Slice { Sequence = Sequence, Start = start, Count = tokens.Length, Sampling = greedy });
        await forward.SendAsync(step);
        Assert.True(await watch.ResponseStream.MoveNext(timeout.Token));
        var result = watch.ResponseStream.Current.Result;
        Assert.True(result?.Failure is null, $"{watch.ResponseStream.Current}");
        return Assert.Single(result!.Tokens).Token;
    }
}
