using Distributed.Core;
using Distributed.Cpu.Kernels;

namespace Distributed.Cpu;

/// <summary>A piece of work in independent chunks; a local variable of the caller, shared with the threads by address.</summary>
internal interface IParallelWork
{
    /// <summary>Does one chunk. Called from several threads at once, once for each chunk.</summary>
    void Run(int chunk);
}

/// <summary>Splits of operations into chunks for <see cref="CpuThreads"/>; a chunk takes some tens of microseconds.</summary>
internal static class Chunks
{
    /// <summary>Values that a chunk of simple elementwise work has.</summary>
    public const int Values = 1 << 14;

    /// <summary>Rows per chunk when a row has <paramref name="columns"/> values.</summary>
    public static int Rows(int columns) => Math.Max(1, Values / Math.Max(1, columns));

    /// <summary>Chunks of <paramref name="size"/> that cover <paramref name="count"/>.</summary>
    public static int Count(int count, int size) => (count + size - 1) / size;
}

/// <summary>Norms and quantises the rows of a product's input.</summary>
internal readonly unsafe struct PrepareInputWork(
    LaneKernels kernels, Activations input, int rows, Norm? norm, float* normed, Int8Input quantized, TermKinds kinds) : IParallelWork
{
    private readonly int _size = Cpu.Chunks.Rows(input.Columns * 2);

    public int Chunks => Cpu.Chunks.Count(rows, _size);

    public void Run(int chunk)
    {
        for (var row = chunk * _size; row < Math.Min(rows, (chunk + 1) * _size); row++)
        {
            var values = normed + ((long)row * input.Columns);
            if (norm is not null)
                NormalizeWork.Norm(kernels, norm, 0, CpuBackend.Row(input, row), input.Columns, values);
            if (kinds.Count > 0)
                kernels.Quantize(quantized, values, input.Columns, row, rows, kinds.Kinds);
        }
    }
}

/// <summary>Several products, split by rows of the weights.</summary>
internal readonly struct MatMulWork : IParallelWork
{
    /// <summary>Multiplications that are worth waking a thread for.</summary>
    private const long WorthWaking = 1 << 15;

    /// <summary>Multiplications in a chunk: enough to hide the hand-out, few enough to end together.</summary>
    private const long ChunkSize = 1 << 20;

    /// <summary>Rows in a chunk of a product with many tokens: the more, the less often its input passes through the caches.</summary>
    private const int ManyRows = 128;

    /// <summary>Chunks that every thread gets at least of a product with many tokens, so that they end together.</summary>
    private const int ChunksPerThread = 4;

    private readonly MatMulTask[] _tasks;
    private readonly int _count;

    public MatMulWork(MatMulTask[] tasks, int count, int threads)
    {
        _tasks = tasks;
        _count = count;
        var all = 0L;
        foreach (ref var task in tasks.AsSpan(0, count))
            all += task.Rows * task.PerRow;
        WorthSharing = all >= WorthWaking;
        var size = Math.Min(ChunkSize, all / threads);
        foreach (ref var task in tasks.AsSpan(0, count))
        {
            var rows = Math.Min(Math.Max(size / task.PerRow, Math.Min(ManyRows, task.Rows / (threads * ChunksPerThread))), task.Rows);
            // An odd number of steps: rows that lie a step's multiple apart would else often share their place in the caches.
            var steps = (rows + MatMulKernel.RowStep - 1) / MatMulKernel.RowStep;
            task.ChunkRows = (int)(Math.Max(0, steps - 1) | 1) * MatMulKernel.RowStep;
            Chunks += task.Chunks;
        }
    }

    public int Chunks { get; }

    public bool WorthSharing { get; }

    public void Run(int chunk)
    {
        foreach (ref var task in _tasks.AsSpan(0, _count))
        {
            if (chunk < task.Chunks)
            {
                task.Kernel.Run(task, chunk * task.ChunkRows, Math.Min(task.Rows, (chunk + 1) * task.ChunkRows));
                return;
            }
            chunk -= task.Chunks;
        }
    }
}

/// <summary>Rotates heads, split by token.</summary>
internal readonly unsafe struct RopeWork(
    Activations heads, int rows, int headDim, Activations cos, Activations sin, RopePairs pairs) : IParallelWork
{
    private readonly int _size = Cpu.Chunks.Rows(heads.Columns);

    public int Chunks => Cpu.Chunks.Count(rows, _size);

    public void Run(int chunk)
    {
        for (var row = chunk * _size; row < Math.Min(rows, (chunk + 1) * _size); row++)
        {
            Rope.Row(
                CpuBackend.Row(heads, row), heads.Columns / headDim, headDim,
                CpuBackend.Row(cos, row), CpuBackend.Row(sin, row), cos.Columns, pairs);
        }
    }
}

/// <summary>Activations and gates, split by token.</summary>
internal readonly unsafe struct ActivateWork(
    LaneKernels kernels, Activation activation, Activations gate, Activations? up, int rows) : IParallelWork
{
    private readonly int _size = Cpu.Chunks.Rows(gate.Columns);

    public int Chunks => Cpu.Chunks.Count(rows, _size);

    public void Run(int chunk)
    {
        for (var row = chunk * _size; row < Math.Min(rows, (chunk + 1) * _size); row++)
            kernels.Activate(activation, CpuBackend.Row(gate, row), up is null ? null : CpuBackend.Row(up, row), gate.Columns);
    }
}
