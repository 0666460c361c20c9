using System.Runtime.InteropServices;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Cpu;
using Distributed.Engine;
using Distributed.Engine.KvCache;

namespace Distributed.Coordinator.Tests.Weights;

/// <summary>Loads models on workers that have not got their files, and counts what was sent to them.</summary>
internal static class SentWeights
{
    private const int Batch = 8;

    private static readonly int[] Tokens = [1, 5, 2, 7, 3];

    /// <summary>Loads a model on workers; dispose the result to unload it.</summary>
    /// <param name="model">The model.</param>
    /// <param name="layers">The layers of each worker's stage, in order; the same worker may be there twice.</param>
    public static async Task<Pipeline> LoadAsync(ModelFile model, params (WorkerConfig Worker, int First, int Last)[] layers) =>
        await (await PlaceAsync(model, layers))();

    /// <summary>Plans, which asks the workers what they have; the result loads.</summary>
    public static async Task<Func<Task<Pipeline>>> PlaceAsync(ModelFile model, params (WorkerConfig Worker, int First, int Last)[] layers)
    {
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        var config = new ClusterConfig
        {
            Model = model.Path,
            Context = 32,
            Sequences = 1,
            MaxBatchTokens = Batch,
            Workers = [.. layers.Select(stage => stage.Worker).DistinctBy(worker => worker.Name)],
            Split = [.. layers.Select(stage => new SplitConfig { Worker = stage.Worker.Name, Layers = new LayerRange(stage.First, stage.Last) })],
        };
        // The split is given: what the workers can do need not be measured.
        var placement = ClusterPlan.Make(model, config, await ClusterSurvey.DescribeAsync(config, timeout.Token));
        return () => Pipeline.StartAsync(model, config, placement, epoch: 1, progress: null, default).WaitAsync(RunningCluster.Patience);
    }

    /// <summary>Loads and unloads it again.</summary>
    /// <returns>Bytes sent, and the logits it gave meanwhile.</returns>
    public static async Task<(long Sent, float[] Logits)> SendAsync(ModelFile model, params (WorkerConfig Worker, int First, int Last)[] layers)
    {
        await using var pipeline = await LoadAsync(model, layers);
        return (pipeline.BytesSent, await LogitsAsync(pipeline));
    }

    /// <summary>What a loaded model gives for the test's tokens.</summary>
    public static async Task<float[]> LogitsAsync(Pipeline pipeline)
    {
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        var result = await pipeline.RunAsync([new Slice { Sequence = 1, Count = Tokens.Length, AllLogits = true }], Tokens, timeout.Token);
        return MemoryMarshal.Cast<byte, float>(result.Logits.Span).ToArray();
    }

    /// <summary>What the model gives in this process, from its own file.</summary>
    public static float[] Expected(ModelFile model)
    {
        using var backend = new CpuBackend(1);
        var spec = new StageSpec(0, model.Config.NumLayers, true, true, Batch, KvType.F16, 1, 32);
        using var stage = Stage.Load(model, backend, spec);
        var logits = new float[Tokens.Length * model.Config.VocabSize];
        stage.Forward([new SequenceSlice(1, 0, Tokens.Length)], Tokens, [.. Enumerable.Range(0, Tokens.Length)], [], logits);
        return logits;
    }

    /// <summary>Bytes of the headers of a model's files.</summary>
    public static long Headers(ModelFile model) => model.Source.Files.Sum(file => file.HeaderBytes);

    /// <summary>Bytes of the files that hold a stage's tensors.</summary>
    public static long Weights(ModelFile model, int first, int last) => Ranges(model, first, last).Sum(range => range.Bytes);

    /// <summary>Where a stage's tensors lie.</summary>
    public static IReadOnlyList<FileRange> Ranges(ModelFile model, int first, int last) =>
    [
        .. StageTensors.For(model, first, last + 1, first == 0, last == model.Config.NumLayers - 1)
            .SelectMany(tensor => tensor.Tensor.FileRanges).Distinct(),
    ];
}
