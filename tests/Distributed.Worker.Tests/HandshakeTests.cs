using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Google.Protobuf;

namespace Distributed.Worker.Tests;

public class HandshakeTests
{
    private static readonly Dictionary<string, (Action<Hello> Change, FailureCode Code, string[] Mentions)> Cases = new()
    {
        ["version"] = (hello => hello.ProtocolVersion = 99, FailureCode.ProtocolMismatch, ["protocol 99", $"{ProtocolVersion.Current}"]),
        ["epoch"] = (hello => hello.Epoch = 7, FailureCode.EpochMismatch, ["epoch 7", "epoch 1"]),
        ["model"] = (hello => hello.ModelHash = ByteString.CopyFrom(new byte[32]), FailureCode.ModelMismatch, ["0000000000", "this stage"]),
        ["stage"] = (hello => hello.Stage = 1, FailureCode.UnknownStage, ["stage 1"]),
        ["pipeline"] = (hello => hello.Pipeline = "other", FailureCode.UnknownStage, ["other"]),
    };

    public static TheoryData<string> Refusals => [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(Refusals))]
    public async Task Mismatch_is_refused_with_both_values(string what)
    {
        var (change, code, mentions) = Cases[what];
        await using var worker = await RunningWorker.StartAsync();
        await worker.LoadAsync(RunningWorker.WholeModel());
        var hello = RunningWorker.Hello();
        change(hello);

        var error = await Assert.ThrowsAsync<StageFailureException>(() => worker.ForwardAsync(hello));

        Assert.True(error.Failure.Code == code, $"{what}: {error.Failure}");
        Assert.All(mentions, mention => Assert.Contains(mention, error.Message, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Second_stream_into_a_stage_is_refused_until_the_first_has_ended()
    {
        await using var worker = await RunningWorker.StartAsync();
        await worker.LoadAsync(RunningWorker.WholeModel());
        var first = await worker.ForwardAsync(RunningWorker.Hello());

        var error = await Assert.ThrowsAsync<StageFailureException>(() => worker.ForwardAsync(RunningWorker.Hello()));
        Assert.Equal(FailureCode.StageBusy, error.Failure.Code);

        await first.DisposeAsync();
        await using var second = await worker.ForwardAsync(RunningWorker.Hello());
    }

    [Fact]
    public async Task Coordinator_of_a_later_term_takes_the_stage_and_one_of_an_earlier_term_is_refused_from_then_on()
    {
        await using var worker = await RunningWorker.StartAsync();
        var led = RunningWorker.WholeModel();
        led.Led = true;
        await worker.LoadAsync(led);
        var (earlier, later) = (RunningWorker.Hello(), RunningWorker.Hello());
        (earlier.Term, later.Term) = (3, 4);
        await using var old = await worker.ForwardAsync(earlier);

        await using var taken = await worker.ForwardAsync(later);

        Assert.NotNull(await old.Closed.WaitAsync(TimeSpan.FromSeconds(20)));
        var error = await Assert.ThrowsAsync<StageFailureException>(() => worker.ForwardAsync(earlier));
        Assert.Equal(FailureCode.EpochMismatch, error.Failure.Code);
        Assert.Contains("of term 3, this stage follows the coordinator of term 4", error.Message, StringComparison.Ordinal);
        var unloaded = await worker.Client.UnloadAsync(new UnloadRequest { Pipeline = earlier.Pipeline, Term = 3 });
        Assert.Equal(0, unloaded.Stages);
        Assert.Equal(1, (await worker.Client.UnloadAsync(new UnloadRequest { Pipeline = earlier.Pipeline, Term = 4 })).Stages);
    }

    [Theory]
    [InlineData(false, 1, "must be of none")]
    [InlineData(true, 1L << 40, "must lie between 0 and 1048576 above 0")]
    public async Task Terms_that_no_coordinator_can_have_come_to_shut_nobody_out(bool isLed, long term, string rule)
    {
        await using var worker = await RunningWorker.StartAsync();
        var load = RunningWorker.WholeModel();
        load.Led = isLed;
        await worker.LoadAsync(load);
        var hello = RunningWorker.Hello();
        hello.Term = term;

        var error = await Assert.ThrowsAsync<StageFailureException>(() => worker.ForwardAsync(hello));

        Assert.Equal(FailureCode.BadFrame, error.Failure.Code);
        Assert.Contains(rule, error.Message, StringComparison.Ordinal);
        await using var real = await worker.ForwardAsync(RunningWorker.Hello());
    }

    [Fact]
    public async Task Refusal_by_a_stage_further_down_reaches_the_first_sender()
    {
        await using var first = await RunningWorker.StartAsync();
        await using var second = await RunningWorker.StartAsync();
        var request = RunningWorker.WholeModel();
        request.NumStages = 2;
        request.EndLayer = 4;
        request.NextAddress = second.Address.ToString();
        Assert.NotNull((await first.LoadAsync(request)).Loaded);

        var error = await Assert.ThrowsAsync<StageFailureException>(() => first.ForwardAsync(RunningWorker.Hello()));

        Assert.Equal(FailureCode.UnknownStage, error.Failure.Code);
        Assert.Equal(1, error.Failure.Stage);
    }

    [Fact]
    public async Task Next_worker_that_is_not_there_is_named()
    {
        await using var worker = await RunningWorker.StartAsync();
        var request = RunningWorker.WholeModel();
        request.NumStages = 2;
        request.EndLayer = 4;
        request.NextAddress = "unix:/nowhere/worker";
        Assert.NotNull((await worker.LoadAsync(request)).Loaded);

        var error = await Assert.ThrowsAsync<StageFailureException>(() => worker.ForwardAsync(RunningWorker.Hello()));

        Assert.Equal(FailureCode.NextUnreachable, error.Failure.Code);
        Assert.Contains("unix:/nowhere/worker", error.Message, StringComparison.Ordinal);
    }
}
