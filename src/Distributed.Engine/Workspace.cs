using Distributed.Core;

namespace Distributed.Engine;

/// <summary>What the layers of a stage work in: the device, its buffers, the KV store, and the batch of the step under way.</summary>
internal sealed class Workspace : IDisposable
{
    /// <summary>In how many pieces it takes memory, at most: its buffers, the KV store, scratch, and choices of experts.</summary>
    public const int Pieces = 24;

    private readonly List<Activations> _all = [];

    public Workspace(Backend backend, ModelConfig config, StageSpec spec)
    {
        Backend = backend;
        Batch = new Batch(spec.MaxBatchTokens);
        var buffers = StageBuffers.For(config, spec);
        try
        {
            Hidden = Allocate(buffers.Hidden);
            Queries = Allocate(buffers.Queries);
            Keys = Allocate(buffers.Keys);
            Values = Allocate(buffers.Values);
            Attention = Allocate(buffers.Attention);
            Gate = Allocate(buffers.Gate);
            Up = Allocate(buffers.Up);
            Branch = Allocate(buffers.Branch);
            Router = Allocate(buffers.Router);
            Cos = Allocate(buffers.Cos);
            Sin = Allocate(buffers.Sin);
            LocalCos = Allocate(buffers.LocalCos);
            LocalSin = Allocate(buffers.LocalSin);
            Head = Allocate(buffers.Head);
            Logits = Allocate(buffers.Logits);
            Qkv = [Queries, Keys, Values];
            GateUp = [Gate, Up];
            BranchOutput = [Branch];
            RouterOutput = [Router];
            HeadOutputs = [Logits];
            // The largest first: memory that is handed out piece by piece has no use for what a smaller one took.
            backend.Reserve(buffers.LargestInput.Rows, buffers.LargestInput.Columns);
            foreach (var input in buffers.Inputs)
                backend.Reserve(input.Rows, input.Columns);
            if (config.Experts is { } experts && spec.NumLayers > 0)
                Choices = backend.AllocateChoices(spec.MaxBatchTokens, experts.Count, experts.PerToken);
            var shape = new AttentionShape(config.NumHeads, config.NumKvHeads, config.HeadDim, Scale: 1);
            Kv = backend.AllocateKv(spec.NumLayers, spec.KvBlocks, shape, spec.KvType);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The device.</summary>
    public Backend Backend { get; }

    /// <summary>Keys and values of the stage's layers.</summary>
    public KvStore Kv { get; } = null!;

    /// <summary>The step under way.</summary>
    public Batch Batch { get; }

    /// <summary>[tokens, HiddenSize]; every layer adds to it.</summary>
    public Activations Hidden { get; }

    /// <summary>[tokens, NumHeads × HeadDim]</summary>
    public Activations Queries { get; }

    /// <summary>[tokens, NumKvHeads × HeadDim]</summary>
    public Activations Keys { get; }

    /// <summary>[tokens, NumKvHeads × HeadDim]</summary>
    public Activations Values { get; }

    /// <summary>[tokens, NumHeads × HeadDim]</summary>
    public Activations Attention { get; }

    /// <summary>[tokens, IntermediateSize]; with experts [tokens × PerToken, width of an expert].</summary>
    public Activations Gate { get; }

    /// <summary>The shape of <see cref="Gate"/>.</summary>
    public Activations Up { get; }

    /// <summary>[tokens, HiddenSize]; with experts [tokens × PerToken, HiddenSize].</summary>
    public Activations Branch { get; }

    /// <summary>[tokens, experts]</summary>
    public Activations Router { get; }

    /// <summary>Where the tokens go; null without experts.</summary>
    public ExpertChoices? Choices { get; }

    /// <summary>[tokens, rotated / 2]</summary>
    public Activations Cos { get; }

    /// <summary>[tokens, rotated / 2]</summary>
    public Activations Sin { get; }

    /// <summary>[tokens, rotated / 2]; for layers with a window, where they turn differently.</summary>
    public Activations LocalCos { get; }

    /// <summary>[tokens, rotated / 2]; for layers with a window, where they turn differently.</summary>
    public Activations LocalSin { get; }

    /// <summary>[wanted tokens, HiddenSize]</summary>
    public Activations Head { get; }

    /// <summary>[wanted tokens, VocabSize]</summary>
    public Activations Logits { get; }

    /// <summary>Queries, keys and values, as outputs of one call.</summary>
    public Activations[] Qkv { get; }

    /// <summary>Gate and up, as outputs of one call.</summary>
    public Activations[] GateUp { get; }

    /// <summary>What a branch adds, as outputs of one call.</summary>
    public Activations[] BranchOutput { get; }

    /// <summary>The experts' scores, as outputs of one call.</summary>
    public Activations[] RouterOutput { get; }

    /// <summary>The logits, as outputs of one call.</summary>
    public Activations[] HeadOutputs { get; }

    /// <summary>Bytes of all activations.</summary>
    public long ActivationBytes => _all.Sum(activations => activations.Bytes);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var activations in _all)
            activations.Dispose();
        Kv?.Dispose();
    }

    private Activations Allocate(BufferShape shape)
    {
        var activations = Backend.Allocate(shape.Rows, shape.Columns);
        _all.Add(activations);
        return activations;
    }
}
