using ILGPU;
using ILGPU.Backends;
using ILGPU.Backends.PTX;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace Distributed.Gpu.Kernels;

/// <summary>A lane's four values of a product that a warp makes together.</summary>
public readonly record struct Fragment(int X, int Y, int Z, int W);

/// <summary>
/// A warp's product of a matrix [16, 32] with the columns of another [32, 8], signed bytes both: one instruction on cards with CUDA
/// since Ampere (PTX ISA 7.0, mma.m16n8k32 and, half as wide, m16n8k16), shuffles elsewhere. Which lane has which values is the
/// instruction's own rule.
/// </summary>
public static class TensorCore
{
    /// <summary>Rows of the first matrix.</summary>
    public const int Rows = 16;

    /// <summary>Columns of the second one.</summary>
    public const int Columns = 8;

    /// <summary>Lanes of the warp that works together.</summary>
    public const int Lanes = 32;

    /// <summary>The first cards that have it.</summary>
    public static readonly CudaArchitecture Since = CudaArchitecture.SM_80;

    /// <summary>Whether a device has the instruction.</summary>
    public static bool IsIn(Accelerator accelerator) => accelerator is CudaAccelerator cuda && cuda.Architecture >= Since;

    /// <summary>The row that a lane has in its first word of the first matrix; 8 more in the second and in the fourth.</summary>
    public static int Row(int lane) => lane >> 2;

    /// <summary>Which four of 32 values along a row or column a lane has in its first words; four words more in the later half.</summary>
    public static int Word(int lane) => lane & 3;

    /// <summary>The column that a lane has in both words of the second matrix.</summary>
    public static int Column(int lane) => lane >> 2;

    /// <summary>The column of a lane's first and third results, whose rows are <see cref="Row"/> and 8 more; the next column's follow.</summary>
    public static int ResultColumn(int lane) => (lane & 3) << 1;

    /// <summary>The product. All lanes of a warp of 32 must be here.</summary>
    /// <param name="a0">Of the first matrix: the lane's row and word, four values.</param>
    /// <param name="a1">Eight rows below.</param>
    /// <param name="a2">Four words on.</param>
    /// <param name="a3">Eight rows below, four words on.</param>
    /// <param name="b0">Of the second matrix: the lane's column and word.</param>
    /// <param name="b1">Four words on.</param>
    [IntrinsicImplementation]
    public static Fragment Multiply(int a0, int a1, int a2, int a3, int b0, int b1)
    {
        int x = 0, y = 0, z = 0, w = 0;
        var rowLanes = Row(Warp.LaneIdx) * 4;
        var columnLanes = ResultColumn(Warp.LaneIdx) * 4;
        for (var word = 0; word < 4; word++)
        {
            var (low, below) = (Warp.Shuffle(a0, rowLanes + word), Warp.Shuffle(a1, rowLanes + word));
            var (lowOn, belowOn) = (Warp.Shuffle(a2, rowLanes + word), Warp.Shuffle(a3, rowLanes + word));
            var (left, leftOn) = (Warp.Shuffle(b0, columnLanes + word), Warp.Shuffle(b1, columnLanes + word));
            var (right, rightOn) = (Warp.Shuffle(b0, columnLanes + 4 + word), Warp.Shuffle(b1, columnLanes + 4 + word));
            x = PackedDot.Add(low, left, PackedDot.Add(lowOn, leftOn, x));
            y = PackedDot.Add(low, right, PackedDot.Add(lowOn, rightOn, y));
            z = PackedDot.Add(below, left, PackedDot.Add(belowOn, leftOn, z));
            w = PackedDot.Add(below, right, PackedDot.Add(belowOn, rightOn, w));
        }
        return new Fragment(x, y, z, w);
    }

    /// <summary>The product of matrices half as wide, [16, 16] and [16, 8]: lanes have what they have of the wide ones' first half.</summary>
    /// <param name="a0">Of the first matrix: the lane's row and word, four values.</param>
    /// <param name="a1">Eight rows below.</param>
    /// <param name="b">Of the second matrix: the lane's column and word.</param>
    [IntrinsicImplementation]
    public static Fragment MultiplyHalf(int a0, int a1, int b)
    {
        int x = 0, y = 0, z = 0, w = 0;
        var rowLanes = Row(Warp.LaneIdx) * 4;
        var columnLanes = ResultColumn(Warp.LaneIdx) * 4;
        for (var word = 0; word < 4; word++)
        {
            var (here, below) = (Warp.Shuffle(a0, rowLanes + word), Warp.Shuffle(a1, rowLanes + word));
            var (left, right) = (Warp.Shuffle(b, columnLanes + word), Warp.Shuffle(b, columnLanes + 4 + word));
            x = PackedDot.Add(here, left, x);
            y = PackedDot.Add(here, right, y);
            z = PackedDot.Add(below, left, z);
            w = PackedDot.Add(below, right, w);
        }
        return new Fragment(x, y, z, w);
    }

    /// <summary>Tells a context that is being built of the instructions.</summary>
    public static Context.Builder WithTensorCore(this Context.Builder builder) => builder
        .WithInstruction(typeof(TensorCore), nameof(Multiply), nameof(EmitMma), Since)
        .WithInstruction(typeof(TensorCore), nameof(MultiplyHalf), nameof(EmitHalfMma), Since);

    /// <summary>Writes the instruction: ILGPU calls it where a kernel calls <see cref="Multiply"/>.</summary>
    public static void EmitMma(PTXBackend backend, PTXCodeGenerator codeGenerator, Value value) => Emit(codeGenerator, value, 32, 4, 2);

    /// <summary>Writes the instruction: ILGPU calls it where a kernel calls <see cref="MultiplyHalf"/>.</summary>
    public static void EmitHalfMma(PTXBackend backend, PTXCodeGenerator codeGenerator, Value value) => Emit(codeGenerator, value, 16, 2, 1);

    private static void Emit(PTXCodeGenerator codeGenerator, Value value, int depth, int firstWords, int secondWords)
    {
        RegisterAllocator<PTXRegisterKind>.PrimitiveRegister[] inputs =
            [.. Enumerable.Range(0, firstWords + secondWords).Select(i => codeGenerator.LoadPrimitive(value[i]))];
        var result = (RegisterAllocator<PTXRegisterKind>.CompoundRegister)codeGenerator.Allocate(value);
        var sums = result.Children.Cast<RegisterAllocator<PTXRegisterKind>.PrimitiveRegister>().ToArray();
        // What is added to is what is written: zeros, put there first.
        foreach (var sum in sums)
        {
            using var zero = codeGenerator.BeginCommand("mov.b32");
            zero.AppendArgument(sum);
            zero.AppendConstant(0L);
        }
        using var command = codeGenerator.BeginCommand($"mma.sync.aligned.m16n8k{depth}.row.col.s32.s8.s8.s32");
        command.AppendVectorArgument(sums);
        command.AppendVectorArgument(inputs[..firstWords]);
        command.AppendVectorArgument(inputs[firstWords..]);
        command.AppendVectorArgument(sums);
    }
}
