using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>One product: output[t, r] (+)= weight row r · input row t.</summary>
internal unsafe struct MatMulTask
{
    /// <summary>The kernel that computes it.</summary>
    public MatMulKernel Kernel;

    /// <summary>The weight's first row.</summary>
    public byte* Weights;

    /// <summary>From one row to the next.</summary>
    public long RowBytes;

    /// <summary>Weight rows.</summary>
    public int Rows;

    /// <summary>Values per row.</summary>
    public int Columns;

    /// <summary>Input rows.</summary>
    public int Tokens;

    /// <summary>The input as float32, [Tokens, Columns].</summary>
    public float* Values;

    /// <summary>The input as bytes; laid out only when the kernel takes it.</summary>
    public Int8Input Quantized;

    /// <summary>Which of the input's terms are the kernel's.</summary>
    public int TermSlot;

    /// <summary>[Tokens, OutputStride]</summary>
    public float* Output;

    /// <summary>Values from one output row to the next.</summary>
    public int OutputStride;

    /// <summary>Adds to what the output holds.</summary>
    public bool Add;

    /// <summary>Rows that a thread takes at once.</summary>
    public int ChunkRows;

    /// <summary>Chunks of <see cref="ChunkRows"/>.</summary>
    public readonly int Chunks => Cpu.Chunks.Count(Rows, ChunkRows);

    /// <summary>Multiplications per weight row.</summary>
    public readonly long PerRow => (long)Columns * Tokens;

    /// <summary>Puts a token's elements of sixteen rows in their places.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Write(int token, int row, float* values)
    {
        var target = Output + ((long)token * OutputStride) + row;
        var sixteen = Vector512.Load(values);
        (Add ? Vector512.Load(target) + sixteen : sixteen).Store(target);
    }

    /// <summary>Puts a token's elements of rows that lie <paramref name="step"/> apart in their places.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Write(int token, int row, int step, int rows, float* values)
    {
        var target = Output + ((long)token * OutputStride) + row;
        if (Add)
            for (var i = 0; i < rows; i++, target += step)
                *target += values[i];
        else
            for (var i = 0; i < rows; i++, target += step)
                *target = values[i];
    }

    /// <summary>Puts one element in its place.</summary>
    public readonly void Write(int token, int row, float value)
    {
        var target = Output + ((long)token * OutputStride) + row;
        *target = Add ? *target + value : value;
    }
}

/// <summary>
/// Multiplies the rows of weights of one type. Every kernel for a type adds in the same order, which depends on nothing but the
/// number of columns, so that all give the same bits:
/// float kernels keep sixteen lanes (<see cref="ILanes{T}"/>) over the columns; quantised ones sum a block of 32 in integers and
/// add blocks one after the other with fused multiply-adds.
/// </summary>
internal abstract class MatMulKernel(QuantType type, InstructionSets needs)
{
    /// <summary>Rows are handed out in multiples of this.</summary>
    public const int RowStep = WeightPanel.Rows;

    /// <summary>The weights' type.</summary>
    public QuantType Type { get; } = type;

    /// <summary>The instructions it uses.</summary>
    public InstructionSets Needs { get; } = needs;

    /// <summary>
    /// What it wants of the input's blocks when it reads them from <see cref="MatMulTask.Quantized"/>; null when it reads
    /// <see cref="MatMulTask.Values"/>.
    /// </summary>
    public virtual InputTerms? Terms => null;

    /// <summary>Computes output columns <paramref name="firstRow"/> to <paramref name="endRow"/> for all tokens.</summary>
    public abstract void Run(in MatMulTask task, int firstRow, int endRow);
}
