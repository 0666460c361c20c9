using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>What the x86 forms share. Pairs of products are added in 16 bits, which hold 2 × 127 × 128 but not more: larger numbers go in two parts.</summary>
internal static unsafe class PairProducts
{
    public const byte SevenBits = 127;
    public const byte EighthBit = 128;

    /// <summary><see cref="IInt8Weights.Bits"/> of signed numbers.</summary>
    public const int SignedBits = 8;

    /// <summary>How many sums of two products can be added in 16 bits: numbers below 2ᵇ times ±127, twice, go there 2⁷⁻ᵇ times.</summary>
    public static int MostSums(int bits) => bits == SignedBits ? 1 : 1 << (7 - bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MultiplyAdd(Vector256<int> sum, float* scales, float factor, float* target) => Fma.MultiplyAdd(
        Vector256.ConvertToSingle(sum), Vector256.Load(scales) * Vector256.Create(factor), Vector256.Load(target));
}

/// <summary>Sixteen rows with AVX-512BW.</summary>
internal readonly unsafe struct Avx512RowSums(Vector512<int> value) : IRowSums<Avx512RowSums>
{
    private readonly Vector512<int> _v = value;

    public static InstructionSets Needs => InstructionSets.Avx512;

    public static int Rows => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Avx512RowSums Create(int start) => new(Vector512.Create(start));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Avx512RowSums Add(Avx512RowSums sum, byte* numbers, sbyte* values, bool sevenBits)
    {
        var (n, x, ones) = (Vector512.Load(numbers), Vector512.Create(*(int*)values).AsSByte(), Vector512.Create((short)1));
        if (sevenBits)
            return new(sum._v + Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(n, x), ones));
        var low = Avx512BW.MultiplyAddAdjacent(n & Vector512.Create(PairProducts.SevenBits), x);
        var high = Avx512BW.MultiplyAddAdjacent(n & Vector512.Create(PairProducts.EighthBit), x);
        return new(sum._v + Avx512BW.MultiplyAddAdjacent(low, ones) + Avx512BW.MultiplyAddAdjacent(high, ones));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyAdd(Avx512RowSums sum, float* scales, float factor, float* target) => Avx512F.FusedMultiplyAdd(
        Vector512.ConvertToSingle(sum._v), Vector512.Load(scales) * Vector512.Create(factor), Vector512.Load(target)).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddMins(float* mins, float term, float* target) =>
        Avx512F.FusedMultiplyAdd(Vector512.Load(mins), Vector512.Create(term), Vector512.Load(target)).Store(target);
}

/// <summary>Eight rows with AVX-VNNI.</summary>
internal readonly unsafe struct AvxVnniRowSums(Vector256<int> value) : IRowSums<AvxVnniRowSums>
{
    private readonly Vector256<int> _v = value;

    public static InstructionSets Needs => InstructionSets.Avx2 | InstructionSets.AvxVnni;

    public static int Rows => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static AvxVnniRowSums Create(int start) => new(Vector256.Create(start));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static AvxVnniRowSums Add(AvxVnniRowSums sum, byte* numbers, sbyte* values, bool sevenBits) =>
        new(AvxVnni.MultiplyWideningAndAdd(sum._v, Vector256.Load(numbers), Vector256.Create(*(int*)values).AsSByte()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyAdd(AvxVnniRowSums sum, float* scales, float factor, float* target) =>
        PairProducts.MultiplyAdd(sum._v, scales, factor, target).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddMins(float* mins, float term, float* target) => Avx2RowSums.AddMins(mins, term, target);
}

/// <summary>Eight rows with AVX2.</summary>
internal readonly unsafe struct Avx2RowSums(Vector256<int> value) : IRowSums<Avx2RowSums>
{
    private readonly Vector256<int> _v = value;

    public static InstructionSets Needs => InstructionSets.Avx2;

    public static int Rows => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Avx2RowSums Create(int start) => new(Vector256.Create(start));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Avx2RowSums Add(Avx2RowSums sum, byte* numbers, sbyte* values, bool sevenBits)
    {
        var (n, x, ones) = (Vector256.Load(numbers), Vector256.Create(*(int*)values).AsSByte(), Vector256.Create((short)1));
        if (sevenBits)
            return new(sum._v + Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(n, x), ones));
        var low = Avx2.MultiplyAddAdjacent(n & Vector256.Create(PairProducts.SevenBits), x);
        var high = Avx2.MultiplyAddAdjacent(n & Vector256.Create(PairProducts.EighthBit), x);
        return new(sum._v + Avx2.MultiplyAddAdjacent(low, ones) + Avx2.MultiplyAddAdjacent(high, ones));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyAdd(Avx2RowSums sum, float* scales, float factor, float* target) =>
        PairProducts.MultiplyAdd(sum._v, scales, factor, target).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddMins(float* mins, float term, float* target) =>
        Fma.MultiplyAdd(Vector256.Load(mins), Vector256.Create(term), Vector256.Load(target)).Store(target);
}
