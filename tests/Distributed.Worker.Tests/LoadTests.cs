using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Google.Protobuf;

namespace Distributed.Worker.Tests;

public class LoadTests
{
    private static readonly Dictionary<string, (Action<LoadRequest> Change, FailureCode Code, string[] Mentions)> Cases = new()
    {
        ["version"] = (request => request.ProtocolVersion = 99, FailureCode.ProtocolMismatch, ["99", $"{ProtocolVersion.Current}"]),
        ["hash"] = (request => request.ModelHash = ByteString.CopyFrom(new byte[32]), FailureCode.ModelMismatch, ["0000000000", "the coordinator has"]),
        ["missing file"] = (request => request.ModelPath = "/nowhere/model.gguf", FailureCode.ModelUnreadable, ["/nowhere/model.gguf"]),
        ["files"] = (request => request.Sent(), FailureCode.BadFrame, ["0 files", "1 to"]),
        ["one file of a folder"] = (request => request.Sent((9, 9)).Model.Format = ModelOutline.Types.Format.HuggingFace, FailureCode.BadFrame, ["1 files"]),
        ["format"] = (request => request.Sent((9, 9)).Model.Format = (ModelOutline.Types.Format)7, FailureCode.BadFrame, ["model.format is 7"]),
        ["negative file"] = (request => request.Sent((-1, 1)), FailureCode.BadFrame, ["parts[0].length is -1"]),
        ["endless file"] = (request => request.Sent((long.MaxValue, 1)), FailureCode.BadFrame, ["9223372036854775807", "17592186044416"]),
        ["header beyond its file"] = (request => request.Sent((100, 50), (100, 101)), FailureCode.BadFrame, ["parts[1].header_bytes is 101", "100"]),
        ["endless header"] = (request => request.Sent((1L << 40, 1L << 39)), FailureCode.BadFrame, ["549755813888"]),
        ["headers together"] = (request => request.Sent([.. Enumerable.Repeat((1L << 28, 1L << 28), 9)]), FailureCode.BadFrame, ["2415919104"]),
        ["hash of another length"] = (request => request.Sent((9, 9)).ModelHash = ByteString.CopyFrom([1, 2]), FailureCode.BadFrame, ["2 bytes", "32"]),
        ["device"] = (request => request.Device = "cuda:0", FailureCode.UnknownDevice, ["cuda:0", "cpu"]),
        ["layers"] = (request => request.EndLayer = 9, FailureCode.BadFrame, ["[0, 9)", "8"]),
        ["context"] = (request => request.Context = 1 << 30, FailureCode.BadFrame, ["1073741824", "512"]),
        ["batch"] = (request => request.MaxBatchTokens = int.MaxValue, FailureCode.BadFrame, ["2147483647"]),
        ["kv type"] = (request => request.KvType = "q2", FailureCode.BadFrame, ["q2", "f16"]),
        ["next"] = (request => request.NumStages = 2, FailureCode.BadFrame, ["next_address"]),
        ["next on another machine in plain text"] = (request => (request.NumStages, request.NextAddress) = (2, "192.0.2.1:7101"),
            FailureCode.NotTrusted, ["192.0.2.1"]),
        ["memory"] = (request => request.KvBlocks = 1 << 20, FailureCode.OutOfMemory, ["GiB", "64 MiB"]),
    };

    public static TheoryData<string> Refusals => [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(Refusals))]
    public async Task Load_that_cannot_be_done_is_refused_with_its_numbers(string what)
    {
        var (change, code, mentions) = Cases[what];
        await using var worker = await RunningWorker.StartAsync(
            new WorkerOptions { Name = "w", Threads = 1, Memory = new Dictionary<string, long> { ["cpu"] = 64 << 20 } });
        var request = RunningWorker.WholeModel();
        change(request);

        var failure = (await worker.LoadAsync(request)).Failure;

        Assert.True(failure is not null, $"{what} was accepted");
        Assert.Equal(code, failure.Code);
        Assert.All(mentions, mention => Assert.Contains(mention, failure.Message, StringComparison.Ordinal));
        Assert.Equal(0, (await worker.Client.DescribeAsync(new DescribeRequest())).Devices[0].MemoryUsed);
    }

    [Fact]
    public async Task Load_whose_weights_end_early_is_told_so()
    {
        await using var worker = await RunningWorker.StartAsync();
        var request = RunningWorker.WholeModel();
        (request.ModelPath, request.Model) = ("/nowhere/model.gguf", WeightChunks.OutlineOf(RunningWorker.Model.Source));
        using var load = worker.Client.Load(request, deadline: DateTime.UtcNow.AddSeconds(20));
        while (await load.ResponseStream.MoveNext(default) && !load.ResponseStream.Current.WantsWeights)
        {
        }

        using var supply = worker.Client.SupplyWeights(deadline: DateTime.UtcNow.AddSeconds(20));
        var hello = new SupplyHello
        {
            ProtocolVersion = ProtocolVersion.Current,
            Pipeline = request.Pipeline,
            Epoch = request.Epoch,
            Stage = request.Stage,
            ModelHash = request.ModelHash,
        };
        await supply.RequestStream.WriteAsync(new WeightSupply { Hello = hello });
        await supply.RequestStream.CompleteAsync();
        while (await load.ResponseStream.MoveNext(default) && load.ResponseStream.Current.Failure is null)
        {
        }

        Assert.Equal(FailureCode.WeightsUnavailable, load.ResponseStream.Current.Failure?.Code);
        Assert.Equal(0, (await worker.Client.DescribeAsync(new DescribeRequest())).Devices[0].MemoryUsed);
    }

    [Fact]
    public async Task Load_that_waits_for_weights_keeps_no_other_one_waiting()
    {
        await using var worker = await RunningWorker.StartAsync();
        var waiting = RunningWorker.WholeModel();
        (waiting.ModelPath, waiting.Model) = ("/nowhere/model.gguf", WeightChunks.OutlineOf(RunningWorker.Model.Source));
        using var call = worker.Client.Load(waiting, deadline: DateTime.UtcNow.AddSeconds(20));
        while (await call.ResponseStream.MoveNext(default) && !call.ResponseStream.Current.WantsWeights)
        {
        }

        var other = RunningWorker.WholeModel();
        other.Pipeline = "other";
        var loaded = (await worker.LoadAsync(other)).Loaded;

        Assert.NotNull(loaded);
        Assert.True(await call.ResponseStream.MoveNext(default));
        Assert.True(call.ResponseStream.Current.WantsWeights);
    }

    [Fact]
    public async Task Loaded_stage_accounts_for_the_memory_it_reserved()
    {
        await using var worker = await RunningWorker.StartAsync();

        var loaded = (await worker.LoadAsync(RunningWorker.WholeModel())).Loaded;

        Assert.NotNull(loaded);
        var account = loaded.Weights + loaded.LmHead + loaded.KvCache + loaded.Activations + loaded.Scratch;
        var reserved = (await worker.Client.DescribeAsync(new DescribeRequest())).Devices[0].MemoryUsed;
        Assert.InRange(account, reserved * 0.97, reserved * 1.03);
        // 8 layers, keys and values, 4 blocks of 32 tokens, 128 values of 2 bytes.
        Assert.Equal(8 * 2 * 4 * 32 * 128 * 2, loaded.KvCache);
    }

    [Fact]
    public async Task Unload_gives_the_memory_back()
    {
        await using var worker = await RunningWorker.StartAsync();
        await worker.LoadAsync(RunningWorker.WholeModel());

        var reply = await worker.Client.UnloadAsync(new UnloadRequest { Pipeline = RunningWorker.Pipeline });

        Assert.Equal(1, reply.Stages);
        Assert.Equal(0, (await worker.Client.DescribeAsync(new DescribeRequest())).Devices[0].MemoryUsed);
    }

    [Fact]
    public async Task Stage_nobody_watches_is_unloaded_when_its_lease_ends()
    {
        await using var worker = await RunningWorker.StartAsync(
            new WorkerOptions { Name = "w", Threads = 1, WatchLease = TimeSpan.FromSeconds(1) });
        var request = RunningWorker.WholeModel();
        request.LeaseMs = 0;
        await worker.LoadAsync(request);

        for (var waited = 0; waited < 100; waited++)
        {
            if ((await worker.Client.ReportKvAsync(new KvRequest())).Stages.Count == 0)
                return;
            await Task.Delay(100);
        }

        Assert.Fail("the stage is still there after 10 s");
    }
}
