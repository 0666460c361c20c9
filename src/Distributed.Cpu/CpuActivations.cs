using Distributed.Core;

namespace Distributed.Cpu;

/// <summary>A float32 matrix in main memory, row after row.</summary>
internal sealed unsafe class CpuActivations : Activations
{
    private readonly AlignedMemory _memory;

    public CpuActivations(int rows, int columns)
        : base(rows, columns) => _memory = new AlignedMemory(Bytes);

    /// <summary>The first value of a row.</summary>
    public float* Row(int row) => (float*)_memory.Data + ((long)row * Columns);

    /// <inheritdoc/>
    public override void Dispose() => _memory.Dispose();
}

/// <summary>A weight where it lies in the mapped file, with the kernel that multiplies it.</summary>
internal sealed class CpuWeight(Tensor tensor, Kernels.MatMulKernel kernel) : Weight(tensor)
{
    /// <summary>The kernel for its type.</summary>
    public Kernels.MatMulKernel Kernel { get; } = kernel;
}
