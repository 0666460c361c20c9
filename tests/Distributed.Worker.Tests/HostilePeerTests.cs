using System.Net;
using System.Net.Http.Headers;
using System.Runtime.InteropServices;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Worker.Tests;

/// <summary>One of the tests counts what this process holds: nobody else may take memory meanwhile.</summary>
[CollectionDefinition(nameof(HostilePeerTests), DisableParallelization = true)]
public sealed class HostilePeerCollection;

/// <summary>Messages that no node of ours would send, to a real worker that holds stages of two pipelines.</summary>
[Collection(nameof(HostilePeerTests))]
public sealed class HostilePeerTests : IAsyncLifetime
{
    private const string Hostile = "hostile";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly Marshaller<byte[]> AsTheyAre = Marshallers.Create(bytes => bytes, bytes => bytes);
    private static readonly Distributed.Cluster.Protocol.Sampling Greedy = new() { Temperature = 0, TopP = 1, RepeatPenalty = 1 };

    private RunningWorker _worker = null!;
    private Grpc.Net.Client.GrpcChannel _channel = null!;
    private CallInvoker _invoker = null!;
    private int _token;

    public async Task InitializeAsync()
    {
        _worker = await RunningWorker.StartAsync(new WorkerOptions { Name = "w", Threads = 1, LogLevel = Microsoft.Extensions.Logging.LogLevel.None });
        _channel = NodeChannel.Open(_worker.Address, Patience);
        _invoker = _channel.CreateCallInvoker();
        Assert.NotNull((await _worker.LoadAsync(RunningWorker.WholeModel())).Loaded);
        var second = RunningWorker.WholeModel();
        (second.Pipeline, second.Stage, second.NumStages, second.FirstLayer, second.KvBlocks) = (Hostile, 1, 2, 4, 16);
        Assert.NotNull((await _worker.LoadAsync(second)).Loaded);
        _token = await AskWholeAsync();
    }

    public async Task DisposeAsync()
    {
        _channel.Dispose();
        await _worker.DisposeAsync();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Mutated_frames_get_a_named_failure_and_the_stages_go_on_with_the_right_tokens(int seed)
    {
        var mutation = new Mutation(seed);
        var (first, other) = (await AskSecondAsync(), await AskWholeAsync());
        var codes = new Dictionary<FailureCode, int>();
        var before = GC.GetTotalMemory(forceFullCollection: true);
        for (var round = 0; round < 80; round++)
        {
            var frames = new List<byte[]> { new StageFrame { Hello = HelloTo(Hostile, 1) }.ToByteArray() };
            StageFrame[] good = [new() { Step = StepOfSecond(0, 7, 0) }, new() { Step = StepOfSecond(1, 7, 3) }, new() { Release = new Release { Epoch = 1, Sequences = { 7 } } }];
            foreach (var frame in good)
                frames.Add(Sealed(frame).ToByteArray());
            var victim = mutation.Below(frames.Count);
            frames[victim] = mutation.Below(2) == 0
                ? mutation.Bytes(StageFrame.Parser.ParseFrom(frames[victim]))
                : Sealed(mutation.Fields(StageFrame.Parser.ParseFrom(frames[victim]))).ToByteArray();
            foreach (var code in await SendAsync(frames, victim))
                codes[code] = codes.GetValueOrDefault(code) + 1;
            if (round % 20 == 0)
                Assert.Equal(other, await AskWholeAsync());
        }

        Assert.Equal((first, other), (await AskSecondAsync(), await AskWholeAsync()));
        // The generator reaches more than one rule, or it would show nothing.
        Assert.True(codes.Count >= 3 && codes.Values.Sum() >= 20, string.Join(", ", codes));
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 64 << 20);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public async Task Hidden_states_that_are_no_numbers_are_refused_wherever_they_stand(float value)
    {
        var expected = await AskSecondAsync();
        foreach (var at in (int[])[0, 5, (3 * RunningWorker.Model.Config.HiddenSize) - 1])
        {
            var step = StepOfSecond(0, 9, 0);
            var hidden = step.Hidden.ToByteArray();
            BitConverter.TryWriteBytes(hidden.AsSpan(at * sizeof(float)), value);
            step.Hidden = ByteString.CopyFrom(hidden);

            var codes = await SendAsync([new StageFrame { Hello = HelloTo(Hostile, 1) }.ToByteArray(), Sealed(new StageFrame { Step = step }).ToByteArray()], 1);

            Assert.Equal([FailureCode.BadState], codes);
        }

        Assert.Equal(expected, await AskSecondAsync());
    }

    [Fact]
    public async Task A_damaged_frame_is_told_from_a_good_one_by_its_checksum()
    {
        var step = Sealed(new StageFrame { Step = StepOfSecond(0, 9, 0) });
        foreach (var damage in (Action<Step>[])
            [
                step => step.Hidden = ByteString.CopyFrom([.. step.Hidden.Take(100), (byte)(step.Hidden[100] ^ 1), .. step.Hidden.Skip(101)]),
                step => step.Tokens[1]++, step => step.Slices[0].Sequence++, step => step.Slices[0].Sampling.Seed++, step => step.Step_ += 5,
            ])
        {
            var frame = step.Clone();
            damage(frame.Step);
            var codes = await SendAsync([new StageFrame { Hello = HelloTo(Hostile, 1) }.ToByteArray(), frame.ToByteArray()], 1);
            Assert.All(codes, code => Assert.Equal(FailureCode.FrameCorrupt, code));
            Assert.NotEmpty(codes);
        }
    }

    [Fact]
    public async Task A_small_frame_that_would_become_many_objects_is_refused_before_it_does()
    {
        // Two bytes for each empty slice.
        var slices = new byte[12 << 20];
        for (var i = 0; i < slices.Length; i += 2)
            slices[i] = (Step.SlicesFieldNumber << 3) | 2;
        using var frame = new MemoryStream();
        using (var output = new CodedOutputStream(frame, leaveOpen: true))
        {
            output.WriteTag(StageFrame.StepFieldNumber, WireFormat.WireType.LengthDelimited);
            output.WriteBytes(ByteString.CopyFrom(slices));
        }

        Assert.Contains(FailureCode.BadFrame, await SendAsync([new StageFrame { Hello = HelloTo(Hostile, 1) }.ToByteArray(), frame.ToArray()], 1));
    }

    [Fact]
    public async Task Mutated_requests_get_an_answer_or_a_named_failure()
    {
        var mutation = new Mutation(11);
        var load = RunningWorker.WholeModel();
        load.Pipeline = "mutated";
        IMessage[] requests =
        [
            load, new WatchRequest { Pipeline = "none", Epoch = 1, Stage = 3 }, new KvRequest { Pipeline = Hostile }, new UnloadRequest { Pipeline = "none" },
            new ProbeLinkRequest { Address = "unix:/nowhere", StepBytes = 10, Steps = 1, ChunkBytes = 10, Chunks = 1 }, new DescribeRequest(), new ClockRequest(),
            new ProfileRequest { Types_ = { "no such type" } },
        ];
        string[] methods = ["Load", "Watch", "ReportKv", "Unload", "ProbeLink", "Describe", "ReadClock", "Profile"];
        for (var round = 0; round < 200; round++)
        {
            var which = mutation.Below(requests.Length);
            var bytes = mutation.Below(3) == 0 ? mutation.Bytes(requests[which])
                : requests[which] is LoadRequest good ? mutation.Fields(good).ToByteArray()
                : requests[which] is ProbeLinkRequest probe ? mutation.Fields(probe).ToByteArray()
                : mutation.Bytes(requests[which]);
            await CallAsync(methods[which], bytes);
        }

        await _worker.Client.UnloadAsync(new UnloadRequest { Pipeline = "mutated" });
        Assert.Equal(_token, await AskWholeAsync());
    }

    [Theory]
    [InlineData("2 GiB announced", new byte[] { 0, 0x7f, 0xff, 0xff, 0xff, 1 })]
    [InlineData("cut short", new byte[] { 0, 0, 0, 0, 10, 1, 2 })]
    [InlineData("no length", new byte[] { 0, 0 })]
    [InlineData("compressed by nothing known", new byte[] { 1, 0, 0, 0, 1, 7 })]
    [InlineData("no message", new byte[] { 0, 0, 0, 0, 2, 0x0a, 0x7f })]
    public async Task Broken_frames_of_gRPC_itself_get_a_named_failure(string what, byte[] body)
    {
        foreach (var method in (string[])["ReportKv", "Forward", "Load"])
        {
            using var http = new HttpClient(new SocketsHttpHandler
            {
                ConnectCallback = async (_, cancellation) =>
                {
                    var socket = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
                    await socket.ConnectAsync(new System.Net.Sockets.UnixDomainSocketEndPoint(_worker.Address.SocketPath!), cancellation);
                    return new System.Net.Sockets.NetworkStream(socket, ownsSocket: true);
                },
            })
            { Timeout = Patience };
            using var request = new HttpRequestMessage(HttpMethod.Post, $"http://localhost/distributed.v1.StageService/{method}")
            {
                Version = HttpVersion.Version20,
                VersionPolicy = HttpVersionPolicy.RequestVersionExact,
                Content = new ByteArrayContent(body),
            };
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
            using var response = await http.SendAsync(request);
            await response.Content.ReadAsByteArrayAsync();

            var named = response.TrailingHeaders.Concat(response.Headers).FirstOrDefault(header => header.Key == StageFailureException.Trailer);
            Assert.True(named.Key is not null, $"{what}, {method}: {response}");
            var text = named.Value.Single();
            var failure = Failure.Parser.ParseFrom(Convert.FromBase64String(text.PadRight((text.Length + 3) / 4 * 4, '=')));
            Assert.Equal(FailureCode.BadFrame, failure.Code);
        }

        Assert.Equal(_token, await AskWholeAsync());
    }

    // Sends frames to the second stage, the first one a hello, while somebody watches it; the names of all failures that come back.
    // Fails where one has none. Those before the bad one are good.
    private async Task<List<FailureCode>> SendAsync(List<byte[]> frames, int bad)
    {
        using var timeout = new CancellationTokenSource(Patience);
        using var watch = _worker.Client.Watch(new WatchRequest { Pipeline = Hostile, Epoch = 1, Stage = 1 }, cancellationToken: timeout.Token);
        Assert.True(await watch.ResponseStream.MoveNext(timeout.Token));
        var codes = new List<FailureCode>();
        using (var call = _invoker.AsyncDuplexStreamingCall(
            new Method<byte[], byte[]>(MethodType.DuplexStreaming, "distributed.v1.StageService", "Forward", AsTheyAre, AsTheyAre), null,
            new CallOptions(cancellationToken: timeout.Token)))
        {
            try
            {
                foreach (var frame in frames)
                    await call.RequestStream.WriteAsync(frame, timeout.Token);
                await call.RequestStream.CompleteAsync();
            }
            catch (Exception error) when (error is RpcException or InvalidOperationException or IOException)
            {
                // Refused already: the answer says why.
            }

            try
            {
                while (await call.ResponseStream.MoveNext(timeout.Token))
                {
                    if (StageReply.Parser.ParseFrom(call.ResponseStream.Current).Refused is { } refused)
                        codes.Add(refused.Code);
                }
            }
            catch (RpcException error)
            {
                codes.Add(StageFailureException.From(error, FailureCode.FailureUnspecified, "w").Failure.Code);
            }
        }

        // What was accepted is computed, or its failure told, before the stream's end is.
        var orders = bad == 0 ? 0 : codes.Count == 0 ? frames.Count - 1 : bad - 1;
        for (var seen = 0; seen < orders && await watch.ResponseStream.MoveNext(timeout.Token);)
        {
            if (watch.ResponseStream.Current.Failure is { } ended)
                codes.Add(ended.Code);
            else if (watch.ResponseStream.Current.Result?.Failure is { } failed)
                codes.Add(failed.Code);
            seen++;
        }

        Assert.DoesNotContain(FailureCode.FailureUnspecified, codes);
        await ReleaseAllAsync();
        return codes;
    }

    private async Task CallAsync(string method, byte[] request)
    {
        try
        {
            using var timeout = new CancellationTokenSource(Patience);
            using var call = _invoker.AsyncServerStreamingCall(
                new Method<byte[], byte[]>(MethodType.ServerStreaming, "distributed.v1.StageService", method, AsTheyAre, AsTheyAre), null,
                new CallOptions(cancellationToken: timeout.Token), request);
            while (await call.ResponseStream.MoveNext(timeout.Token))
            {
                if (method == "Watch")
                    break;
            }
        }
        catch (RpcException error)
        {
            var failure = StageFailureException.From(error, FailureCode.FailureUnspecified, "w").Failure;
            Assert.True(failure.Code != FailureCode.FailureUnspecified, $"{method} with {Convert.ToHexString(request)}: {error}");
        }
    }

    private static Hello HelloTo(string pipeline, int stage)
    {
        var hello = RunningWorker.Hello(stage);
        hello.Pipeline = pipeline;
        return hello;
    }

    // Three tokens' hidden states, the same every time.
    private static Step StepOfSecond(long number, long sequence, int start)
    {
        var random = new Random(17);
        var hidden = new float[3 * RunningWorker.Model.Config.HiddenSize];
        foreach (ref var value in hidden.AsSpan())
            value = random.NextSingle() - 0.5f;
        var step = new Step { Epoch = 1, Step_ = number, Hidden = ByteString.CopyFrom(MemoryMarshal.AsBytes(hidden.AsSpan())) };
        step.Slices.Add(new Slice { Sequence = sequence, Start = start, Count = 3, Sampling = Greedy.Clone() });
        step.Tokens.Add([4, 5, 6]);
        step.Timings.Add(new StageTiming());
        return step;
    }

    private static StageFrame Sealed(StageFrame frame)
    {
        if (frame.Step is { } step)
            step.Checksum = FrameChecksum.Of(step, step.Hidden.Span);
        if (frame.Release is { } release)
            release.Checksum = FrameChecksum.Of(release);
        return frame;
    }

    private Task<int> AskSecondAsync() => AskAsync(Hostile, 1, StepOfSecond(0, 1000, 0));

    private Task<int> AskWholeAsync()
    {
        var step = new Step { Epoch = 1, Slices = { new Slice { Sequence = 1000, Count = 3, Sampling = Greedy } }, Tokens = { 4, 5, 6 } };
        return AskAsync(RunningWorker.Pipeline, 0, step);
    }

    // The token that a good step comes to.
    private async Task<int> AskAsync(string pipeline, int stage, Step step)
    {
        using var timeout = new CancellationTokenSource(Patience);
        using var watch = _worker.Client.Watch(new WatchRequest { Pipeline = pipeline, Epoch = 1, Stage = stage }, cancellationToken: timeout.Token);
        Assert.True(await watch.ResponseStream.MoveNext(timeout.Token));
        await using var forward = await _worker.ForwardAsync(HelloTo(pipeline, stage));
        await forward.SendAsync(step);
        Assert.True(await watch.ResponseStream.MoveNext(timeout.Token));
        var result = watch.ResponseStream.Current.Result;
        Assert.True(result?.Failure is null, $"{watch.ResponseStream.Current}");
        await forward.SendAsync(new Release { Epoch = 1, Sequences = { 1000 } });
        Assert.True(await watch.ResponseStream.MoveNext(timeout.Token));
        return Assert.Single(result!.Tokens).Token;
    }

    // What hostile steps hold is nobody's any more.
    private async Task ReleaseAllAsync()
    {
        using var timeout = new CancellationTokenSource(Patience);
        while (true)
        {
            var held = (await _worker.Client.ReportKvAsync(new KvRequest { Pipeline = Hostile })).Stages[0].Sequences;
            if (held.Count == 0)
                return;
            await using var forward = await _worker.ForwardAsync(HelloTo(Hostile, 1));
            await forward.SendAsync(new Release { Epoch = 1, Sequences = { held.Select(sequence => sequence.Sequence) } });
            await Task.Delay(5, timeout.Token);
        }
    }
}
