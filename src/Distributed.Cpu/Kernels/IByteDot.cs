using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>Products of 32 unsigned with 32 signed bytes, four neighbours added up in each of eight lanes.</summary>
internal interface IByteDot
{
    static abstract InstructionSets Needs { get; }

    /// <param name="sum">What the products are added to.</param>
    /// <param name="numbers">The unsigned side.</param>
    /// <param name="values">The signed side, from −127 to 127.</param>
    /// <param name="sevenBits">No number is above 127.</param>
    static abstract Vector256<int> Add(Vector256<int> sum, Vector256<byte> numbers, Vector256<sbyte> values, bool sevenBits);
}

/// <summary>One instruction.</summary>
internal readonly struct AvxVnniDot : IByteDot
{
    public static InstructionSets Needs => InstructionSets.Avx2 | InstructionSets.AvxVnni;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<byte> numbers, Vector256<sbyte> values, bool sevenBits) =>
        AvxVnni.MultiplyWideningAndAdd(sum, numbers, values);
}

/// <summary>Pairs are added in 16 bits, which hold 2 × 128 × 127 but not more; so larger numbers go in two parts.</summary>
internal readonly struct Avx2Dot : IByteDot
{
    public static InstructionSets Needs => InstructionSets.Avx2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<byte> numbers, Vector256<sbyte> values, bool sevenBits)
    {
        var ones = Vector256.Create((short)1);
        if (sevenBits)
            return sum + Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(numbers, values), ones);
        var low = Avx2.MultiplyAddAdjacent(numbers & Vector256.Create((byte)127), values);
        var high = Avx2.MultiplyAddAdjacent(numbers & Vector256.Create((byte)128), values);
        return sum + Avx2.MultiplyAddAdjacent(low, ones) + Avx2.MultiplyAddAdjacent(high, ones);
    }
}
