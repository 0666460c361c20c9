using System.Collections.Concurrent;
using Distributed.Core;
using Distributed.Core.Quantization;

namespace Distributed.Cpu;

/// <summary>
/// The operations of a decoder layer once, on very little data. The runtime compiles methods when they are first called, which for
/// a model's first step takes longer than computing it does; so they are called before, while the model's file is being opened and read.
/// </summary>
internal static class Rehearsal
{
    private const int HeadDim = 32;
    private const int Columns = 2 * HeadDim;

    /// <summary>The rows of a product's weights, and columns of every type's blocks.</summary>
    private const int Block = 256;

    /// <summary>Tokens of a prompt: as many as take another way through attention than those of a decode step, within a block.</summary>
    private const int PromptTokens = 16;

    /// <summary>As many as take another way through products than few do.</summary>
    private const int ManyTokens = 40;

    private static readonly ConcurrentDictionary<QuantType, bool> StartedProducts = new();
    private static int _started;

    /// <summary>Rehearses a layer on a thread of its own, the first time it is called in a process.</summary>
    /// <param name="instructions">What kernels may use.</param>
    public static void Start(InstructionSets instructions)
    {
        if (Interlocked.Exchange(ref _started, 1) == 0)
            InBackground(instructions, Layer);
    }

    /// <summary>Rehearses products with a type of weights on a thread of its own, the first time it is called for the type.</summary>
    /// <param name="instructions">What kernels may use.</param>
    /// <param name="type">The type.</param>
    public static void Start(InstructionSets instructions, QuantType type)
    {
        if (StartedProducts.TryAdd(type, true))
            InBackground(instructions, backend => Products(backend, type));
    }

    private static void InBackground(InstructionSets instructions, Action<CpuBackend> rehearse)
    {
        new Thread(() =>
        {
            using var backend = new CpuBackend(1, instructions);
            rehearse(backend);
        })
        { IsBackground = true, Name = "rehearsal" }.Start();
    }

    private static void Layer(CpuBackend backend)
    {
        using var a = backend.Allocate(PromptTokens, Columns);
        using var b = backend.Allocate(PromptTokens, Columns);
        using var keys = backend.Allocate(PromptTokens, HeadDim);
        using var angles = backend.Allocate(PromptTokens, HeadDim / 2);
        var shape = new AttentionShape(NumHeads: 2, NumKvHeads: 1, HeadDim, Scale: 1);
        using var kv = backend.AllocateKv(1, 1, shape, KvType.F16);
        foreach (var tokens in (int[])[1, PromptTokens])
        {
            var batch = new Batch(tokens);
            batch.Slices.Add(new BatchSlice(0, 0, tokens, 0, [0]));
            batch.Set(new int[tokens], []);

            backend.Rope(b, tokens, HeadDim, angles, angles, RopePairs.Neighbours);
            backend.StoreKv(kv, 0, batch, keys, keys);
            backend.Attention(kv, 0, batch, shape, null, b, a);
            backend.Activate(Activation.Silu, a, b, tokens);
        }
    }

    private static void Products(CpuBackend backend, QuantType type)
    {
        var norm = new Norm(backend.Load(Zeros(F32.Type, Block)), Eps: 1);
        var matrix = backend.Load(Zeros(type, Block, Block));
        using var a = backend.Allocate(ManyTokens, Block);
        using var b = backend.Allocate(ManyTokens, Block);
        backend.Reserve(ManyTokens, Block);
        foreach (var tokens in (int[])[1, 8, ManyTokens])
        {
            backend.NormMatMul(a, tokens, norm, [matrix], [b]);
            backend.MatMulAdd(a, tokens, matrix, b);
        }
    }

    private static Tensor Zeros(QuantType type, params long[] dimensions) => Tensor.Made("", type, dimensions, _ => { });
}
