using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;

namespace Distributed.Coordinator.Tests.Planning;

/// <summary>A model with layers of given sizes, in MiB, whose memory is easy to work out by hand.</summary>
internal sealed record SyntheticModel(long[] Layers, long Embedding, long Head)
{
    public const long MiB = 1 << 20;

    public ModelConfig Config { get; } = new()
    {
        Architecture = "llama",
        Name = "synthetic",
        HiddenSize = 1024,
        IntermediateSize = 4096,
        NumLayers = Layers.Length,
        NumHeads = 16,
        NumKvHeads = 8,
        HeadDim = 64,
        VocabSize = 32000,
        ContextLength = 8192,
        RmsNormEps = 1e-5f,
        Rope = new RopeConfig(10000, 64, RopePairs.Neighbours),
    };

    public Planner Planner => new(Config, Forecast);

    // Weights as given; keys and values of 512 values a token each; 4 KiB of activations a token of the batch; 1 MiB of scratch.
    public StageMemory Forecast(StageSpec spec) => new(
        (Layers[spec.FirstLayer..spec.EndLayer].Sum() + (spec.HasEmbedding ? Embedding : 0)) * MiB,
        spec.HasHead ? Head * MiB : 0,
        2 * spec.KvType.Bytes(512) * StageSpec.KvBlockTokens * spec.KvBlocks * spec.NumLayers,
        spec.MaxBatchTokens * 4096L,
        MiB);

    /// <summary>A cluster of one worker per amount of free memory, named a, b, c …</summary>
    public static ClusterConfig ClusterOf(int workers) => new()
    {
        Model = "/models/synthetic.gguf",
        Context = 1024,
        Workers = [.. Enumerable.Range(0, workers).Select(i => new WorkerConfig { Name = Name(i), Address = Address(i) })],
    };

    public static string Name(int worker) => ((char)('a' + worker)).ToString();

    public static Dictionary<string, WorkerDescription> Describe(params long[] freeMiB) => freeMiB.Index().ToDictionary(
        pair => Name(pair.Index), pair => DescribeWorker(("cpu", pair.Item)));

    public static WorkerDescription DescribeWorker(params (string Device, long FreeMiB)[] devices) => new()
    {
        Devices =
        {
            devices.Select(device => new DeviceDescription
            {
                Name = device.Device,
                MemoryLimit = (device.FreeMiB + 3) * MiB,
                MemoryUsed = 3 * MiB,
            }),
        },
    };

    private static NodeAddress Address(int worker) => NodeAddress.Parse("address", $"127.0.0.1:{7101 + worker}");
}
