using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace Distributed.Cpu.Kernels;

/// <summary>Four rows with Arm's dot product of signed bytes: numbers above 127 are taken as 128 less, and 128 × the values' sum is added.</summary>
internal readonly unsafe struct ArmRowSums(Vector128<int> value) : IRowSums<ArmRowSums>
{
    private readonly Vector128<int> _v = value;

    public static InstructionSets Needs => InstructionSets.Vector128 | InstructionSets.ArmDot;

    public static int Rows => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ArmRowSums Create(int start) => new(Vector128.Create(start));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ArmRowSums Add(ArmRowSums sum, byte* numbers, sbyte* values, bool sevenBits)
    {
        var x = Vector128.Create(*(int*)values).AsSByte();
        if (sevenBits)
            return new(Dp.DotProduct(sum._v, Vector128.Load(numbers).AsSByte(), x));
        var lowered = (Vector128.Load(numbers) ^ Vector128.Create((byte)128)).AsSByte();
        var offset = Vector128.Create(128 * (values[0] + values[1] + values[2] + values[3]));
        return new(Dp.DotProduct(sum._v + offset, lowered, x));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyAdd(ArmRowSums sum, float* scales, float factor, float* target) =>
        Vector128RowSums.MultiplyAdd(new(sum._v), scales, factor, target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddMins(float* mins, float term, float* target) => Vector128RowSums.AddMins(mins, term, target);
}

/// <summary>Four rows with 128-bit vectors of any kind.</summary>
internal readonly unsafe struct Vector128RowSums(Vector128<int> value) : IRowSums<Vector128RowSums>
{
    private readonly Vector128<int> _v = value;

    public static InstructionSets Needs => InstructionSets.Vector128;

    public static int Rows => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128RowSums Create(int start) => new(Vector128.Create(start));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128RowSums Add(Vector128RowSums sum, byte* numbers, sbyte* values, bool sevenBits)
    {
        // The four columns one after the other: a byte of each lane, widened by shifts, times one value.
        var n = Vector128.Load(numbers).AsUInt32();
        var low = Vector128.Create(255u);
        return new(
            sum._v + ((n & low).AsInt32() * values[0]) + (((n >> 8) & low).AsInt32() * values[1])
            + (((n >> 16) & low).AsInt32() * values[2]) + ((n >> 24).AsInt32() * values[3]));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyAdd(Vector128RowSums sum, float* scales, float factor, float* target) => Vector128.FusedMultiplyAdd(
        Vector128.ConvertToSingle(sum._v), Vector128.Load(scales) * factor, Vector128.Load(target)).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddMins(float* mins, float term, float* target) =>
        Vector128.FusedMultiplyAdd(Vector128.Load(mins), Vector128.Create(term), Vector128.Load(target)).Store(target);
}

/// <summary>One row: the scalar twin.</summary>
internal readonly unsafe struct ScalarRowSums(int value) : IRowSums<ScalarRowSums>
{
    private readonly int _v = value;

    public static InstructionSets Needs => InstructionSets.None;

    public static int Rows => 1;

    public static ScalarRowSums Create(int start) => new(start);

    public static ScalarRowSums Add(ScalarRowSums sum, byte* numbers, sbyte* values, bool sevenBits) =>
        new(sum._v + (numbers[0] * values[0]) + (numbers[1] * values[1]) + (numbers[2] * values[2]) + (numbers[3] * values[3]));

    public static void MultiplyAdd(ScalarRowSums sum, float* scales, float factor, float* target) =>
        *target = MathF.FusedMultiplyAdd(sum._v, *scales * factor, *target);

    public static void AddMins(float* mins, float term, float* target) => *target = MathF.FusedMultiplyAdd(*mins, term, *target);
}
