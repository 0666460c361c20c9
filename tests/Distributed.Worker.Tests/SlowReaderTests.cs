namespace Distributed.Worker.Tests;

public sealed class SlowReaderTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Who_watches_a_stage_and_reads_nothing_is_given_up_by_name_and_fills_no_memory()
    {
        await using var worker = await RunningWorker.StartAsync(
            new WorkerOptions { Name = "w", Threads = 1, WatchLease = TimeSpan.FromSeconds(2), LogLevel = Microsoft.Extensions.Logging.LogLevel.None });
        Assert.NotNull((await worker.LoadAsync(RunningWorker.WholeModel())).Loaded);
        using var timeout = new CancellationTokenSource(Patience);
        using var channel = SmallWindow(worker.Address);
        using var watch = Watch(new StageService.StageServiceClient(channel), timeout.Token);
        // It begins like a good one.
        Assert.True(await watch.ResponseStream.MoveNext(timeout.Token));
        await using var forward = await worker.ForwardAsync(RunningWorker.Hello());
        var before = GC.GetTotalMemory(forceFullCollection: true);

        // Some 150 KB of logits each, 450 MB in all; where nobody stops the sender it is done in a moment.
        var most = 0L;
        var failure = await Assert.ThrowsAsync<StageFailureException>(async () =>
        {
            for (var number = 0L; number < 3000; number++)
            {
                await forward.SendAsync(LogitsOfAll(number));
                if (number % 100 == 0)
                    most = Math.Max(most, GC.GetTotalMemory(forceFullCollection: true) - before);
            }

            var ended = await forward.Closed.WaitAsync(Patience);
            throw ended ?? new StageFailureException(FailureCode.FailureUnspecified, "the stream ended", "w");
        });
        most = Math.Max(most, GC.GetTotalMemory(forceFullCollection: true) - before);

        var told = failure.Failure.Code == FailureCode.SlowReader ? failure : await forward.Closed.WaitAsync(Patience);
        Assert.Equal(FailureCode.SlowReader, told!.Failure.Code);
        Assert.Contains("read nothing of what is sent for 2 s", told.Message, StringComparison.Ordinal);
        Assert.InRange(most, long.MinValue, 48 << 20);

        // One who reads takes its place, and the stage goes on.
        using var reader = Watch(worker.Client, timeout.Token);
        Assert.True(await reader.ResponseStream.MoveNext(timeout.Token));
        await forward.DisposeAsync();
        await using var again = await worker.ForwardAsync(RunningWorker.Hello());
        await again.SendAsync(LogitsOfAll(0));
        while (reader.ResponseStream.Current.Result is null)
            Assert.True(await reader.ResponseStream.MoveNext(timeout.Token));
        Assert.Null(reader.ResponseStream.Current.Result.Failure);
    }

    private static AsyncServerStreamingCall<StageEvent> Watch(StageService.StageServiceClient client, CancellationToken cancellation) =>
        client.Watch(new WatchRequest { Pipeline = RunningWorker.Pipeline, Epoch = 1, Stage = 0 }, cancellationToken: cancellation);

    private static Step LogitsOfAll(long number)
    {
        var step = new Step { Epoch = 1, Step_ = number };
        step.Slices.Add(new Slice { Sequence = 1, Start = 0, Count = 32, AllLogits = true });
        step.Tokens.Add(Enumerable.Range(1, 32));
        return step;
    }

    private static GrpcChannel SmallWindow(NodeAddress address) => GrpcChannel.ForAddress("http://localhost", new GrpcChannelOptions
    {
        HttpHandler = new SocketsHttpHandler
        {
            InitialHttp2StreamWindowSize = 65_535,
            ConnectCallback = async (_, cancellation) =>
            {
                var socket = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
                await socket.ConnectAsync(new System.Net.Sockets.UnixDomainSocketEndPoint(address.SocketPath!), cancellation);
                return new System.Net.Sockets.NetworkStream(socket, ownsSocket: true);
            },
        },
    });
}
