using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Testing;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Worker.Tests;

/// <summary>A worker's real server on a socket of its own, and a client to it.</summary>
public sealed class RunningWorker : IAsyncDisposable
{
    public const string Pipeline = "test";

    private readonly CancellationTokenSource _stopping = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("distributed-test-").FullName;
    private readonly GrpcChannel _channel;
    private readonly Task _running;

    private RunningWorker(WorkerOptions options)
    {
        var listening = new TaskCompletionSource<NodeAddress>();
        Address = NodeAddress.Parse("listen", $"unix:{_folder}/worker");
        _running = WorkerHost.RunAsync(options with { Listen = Address, Data = Data }, listening.SetResult, _stopping.Token);
        Listening = Task.WhenAny(_running, listening.Task).Unwrap();
        _channel = NodeChannel.Open(Address, TimeSpan.FromSeconds(5));
        Client = new StageService.StageServiceClient(_channel);
    }

    public NodeAddress Address { get; }

    /// <summary>The worker's own folder.</summary>
    public string Data => Path.Combine(_folder, "data");

    public StageService.StageServiceClient Client { get; }

    public static ModelFile Model { get; } = ModelFile.Open(Repository.SampleModel);

    private Task Listening { get; }

    public static async Task<RunningWorker> StartAsync(WorkerOptions? options = null)
    {
        var worker = new RunningWorker(options ?? new WorkerOptions { Name = "w", Threads = 1 });
        await worker.Listening.WaitAsync(TimeSpan.FromSeconds(20));
        return worker;
    }

    /// <summary>The whole sample model as one stage; change what a test is about.</summary>
    public static LoadRequest WholeModel() => new()
    {
        ProtocolVersion = ProtocolVersion.Current,
        Pipeline = Pipeline,
        Epoch = 1,
        Stage = 0,
        NumStages = 1,
        ModelPath = Repository.SampleModel,
        ModelHash = ByteString.CopyFrom(Model.Hash),
        Device = "cpu",
        FirstLayer = 0,
        EndLayer = Model.Config.NumLayers,
        Context = 128,
        MaxBatchTokens = 32,
        KvType = "f16",
        KvBlocks = 4,
        // Many tests watch no stage, or a late one, and on a busy machine take longer than a worker keeps those by itself.
        LeaseMs = 600_000,
    };

    public static Hello Hello(int stage = 0) => new()
    {
        ProtocolVersion = ProtocolVersion.Current,
        Pipeline = Pipeline,
        Epoch = 1,
        Stage = stage,
        ModelHash = ByteString.CopyFrom(Model.Hash),
        Sender = "test",
    };

    /// <summary>Loads a stage; gives what the worker said last.</summary>
    public async Task<LoadProgress> LoadAsync(LoadRequest request)
    {
        using var call = Client.Load(request, deadline: DateTime.UtcNow.AddSeconds(20));
        LoadProgress? last = null;
        await foreach (var progress in call.ResponseStream.ReadAllAsync())
            last = progress;
        return last!;
    }

    /// <summary>Opens the Forward stream to a stage of this worker.</summary>
    public Task<ForwardStream> ForwardAsync(Hello hello) => ForwardStream.OpenAsync(Address, hello, 1, CancellationToken.None);

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _running.WaitAsync(TimeSpan.FromSeconds(20));
        _channel.Dispose();
        _stopping.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
