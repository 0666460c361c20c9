using Distributed.Core;
using Distributed.Cpu;
using Distributed.Engine;
using Distributed.Engine.KvCache;

namespace Distributed.Testing;

/// <summary>The stages of a whole model in this process, run one after the other as a pipeline would.</summary>
public sealed class StageRunner : IDisposable
{
    private const int MaxBatchTokens = 64;

    private readonly ModelFile _model;
    private readonly List<Backend> _backends = [];
    private readonly List<Stage> _stages = [];

    /// <param name="path">The model.</param>
    /// <param name="stages">How many stages share the layers.</param>
    /// <param name="threads">Threads of each stage.</param>
    /// <param name="kvType">The format of the KV cache.</param>
    /// <param name="instructions">What the kernels may use.</param>
    public StageRunner(
        string path, int stages = 1, int threads = 1, KvType kvType = KvType.F32, InstructionSets instructions = InstructionSets.All)
        : this(path, kvType, [.. Enumerable.Range(0, stages).Select(_ => new CpuBackend(threads, instructions))])
    {
    }

    /// <param name="path">The model.</param>
    /// <param name="kvType">The format of the KV cache.</param>
    /// <param name="backends">A stage each, which share the layers; disposed of with the runner.</param>
    public StageRunner(string path, KvType kvType, IReadOnlyList<Backend> backends)
    {
        _model = ModelFile.Open(path);
        var layers = _model.Config.NumLayers;
        for (var i = 0; i < backends.Count; i++)
        {
            var spec = new StageSpec(
                layers * i / backends.Count, layers * (i + 1) / backends.Count, i == 0, i == backends.Count - 1, MaxBatchTokens, kvType,
                KvBlocks: 16);
            _backends.Add(backends[i]);
            _stages.Add(Stage.Load(_model, backends[i], spec));
        }
    }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config => _model.Config;

    /// <summary>The stages in order.</summary>
    public IReadOnlyList<Stage> Stages => _stages;

    /// <summary>Logits of all tokens of the batch, [tokens, VocabSize].</summary>
    public float[] Run(params (long Sequence, int Start, int[] Tokens)[] slices)
    {
        var tokens = slices.SelectMany(slice => slice.Tokens).ToArray();
        var outputs = Enumerable.Range(0, tokens.Length).ToArray();
        var parts = slices.Select(slice => new SequenceSlice(slice.Sequence, slice.Start, slice.Tokens.Length)).ToArray();
        float[] values = [];
        foreach (var stage in _stages)
        {
            var result = new float[stage.ResultLength(tokens.Length, outputs.Length)];
            stage.Forward(parts, tokens, outputs, values, result);
            values = result;
        }
        return values;
    }

    /// <summary>Logits of all tokens of one sequence, fed in chunks of the given sizes, the last one repeated.</summary>
    public float[] RunInChunks(int[] tokens, params int[] sizes)
    {
        var logits = new List<float>();
        for (int start = 0, i = 0; start < tokens.Length; i++)
        {
            var count = Math.Min(sizes[Math.Min(i, sizes.Length - 1)], tokens.Length - start);
            logits.AddRange(Run((1, start, tokens[start..(start + count)])));
            start += count;
        }
        return [.. logits];
    }

    public void Dispose()
    {
        _stages.ForEach(stage => stage.Dispose());
        _backends.ForEach(backend => backend.Dispose());
        _model.Dispose();
    }
}
