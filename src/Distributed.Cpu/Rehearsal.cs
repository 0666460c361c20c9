using Distributed.Core;
using Distributed.Core.Quantization;

namespace Distributed.Cpu;

/// <summary>
/// The operations of a decoder layer once, on very little data. The runtime compiles methods when they are first called, which for
/// a model's first step takes longer than computing it does; so they are called before, while the model's file is being opened.
/// </summary>
internal static class Rehearsal
{
    private const int HeadDim = 32;
    private const int Columns = 2 * HeadDim;

    private static int _started;

    /// <summary>Rehearses on a thread of its own, the first time it is called in a process.</summary>
    /// <param name="instructions">What kernels may use.</param>
    public static void Start(InstructionSets instructions)
    {
        if (Interlocked.Exchange(ref _started, 1) == 0)
            new Thread(() => Run(instructions)) { IsBackground = true, Name = "rehearsal" }.Start();
    }

    private static void Run(InstructionSets instructions)
    {
        using var backend = new CpuBackend(1, instructions);
        var matrix = backend.Load(Zeros(Q8_0.Type, Columns, Columns));
        var norm = new Norm(backend.Load(Zeros(F32.Type, Columns)), Eps: 1);
        using var a = backend.Allocate(1, Columns);
        using var b = backend.Allocate(1, Columns);
        using var angles = backend.Allocate(1, HeadDim / 2);
        backend.Reserve(1, Columns);
        var shape = new AttentionShape(NumHeads: 2, NumKvHeads: 1, HeadDim, Scale: 1);
        using var kv = backend.AllocateKv(1, 1, shape, KvType.F16);
        var batch = new Batch(1);
        batch.Slices.Add(new BatchSlice(0, 0, 1, 0, [0]));
        batch.Set([0], []);
        using var keys = backend.Allocate(1, HeadDim);

        backend.Embed([0], matrix, a);
        backend.NormMatMul(a, 1, norm, [matrix], [b]);
        backend.Rope(b, 1, HeadDim, angles, angles, RopePairs.Neighbours);
        backend.StoreKv(kv, 0, batch, keys, keys);
        backend.Attention(kv, 0, batch, shape, null, b, a);
        backend.Activate(Activation.Silu, a, b, 1);
        backend.MatMulAdd(a, 1, matrix, b);
    }

    private static Tensor Zeros(QuantType type, params long[] dimensions) => Tensor.Made("", type, dimensions, _ => { });
}
