using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// The IEEE halves that units of Q4_0 or IQ4_NL begin with, of sixteen rows and four units: one 64-byte load for each row, and then registers
/// are merged until each has two units of all rows. Needs AVX-512BW.
/// </summary>
internal static unsafe class FirstHalves
{
    // Of two registers (the second one's words begin at 32): of each unit the words of the first, then those of the second.
    private static ReadOnlySpan<ushort> Rows =>
        [0, 32, 9, 41, 18, 50, 27, 59, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    private static ReadOnlySpan<ushort> Pairs =>
        [0, 1, 32, 33, 2, 3, 34, 35, 4, 5, 36, 37, 6, 7, 38, 39, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    private static ReadOnlySpan<ushort> Fours =>
        [0, 1, 2, 3, 32, 33, 34, 35, 4, 5, 6, 7, 36, 37, 38, 39, 8, 9, 10, 11, 40, 41, 42, 43, 12, 13, 14, 15, 44, 45, 46, 47];

    private static ReadOnlySpan<ushort> LowerUnits =>
        [0, 1, 2, 3, 4, 5, 6, 7, 32, 33, 34, 35, 36, 37, 38, 39, 8, 9, 10, 11, 12, 13, 14, 15, 40, 41, 42, 43, 44, 45, 46, 47];

    private static ReadOnlySpan<ushort> UpperUnits =>
        [16, 17, 18, 19, 20, 21, 22, 23, 48, 49, 50, 51, 52, 53, 54, 55, 24, 25, 26, 27, 28, 29, 30, 31, 56, 57, 58, 59, 60, 61, 62, 63];

    /// <summary>Units whose halves are loaded at once.</summary>
    public const int Units = 4;

    /// <summary>Bytes of a unit. Of longer ones too few fit into a register.</summary>
    public const int UnitBytes = 18;

    /// <summary>Writes those of four units of 18 bytes.</summary>
    /// <param name="unit">The first row's first unit.</param>
    /// <param name="stride">Bytes from a row to the next.</param>
    /// <param name="target">[4 units][16 rows]</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* unit, long stride, ushort* target)
    {
        var rows = Words(Rows);
        var lower = Eight(unit, stride, rows);
        var upper = Eight(unit + (8 * stride), stride, rows);
        Avx512BW.PermuteVar32x16x2(lower, Words(LowerUnits), upper).Store(target);
        Avx512BW.PermuteVar32x16x2(lower, Words(UpperUnits), upper).Store(target + (2 * WeightPanel.Rows));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ushort> Eight(byte* unit, long stride, Vector512<ushort> rows) =>
        Avx512BW.PermuteVar32x16x2(Four(unit, stride, rows), Words(Fours), Four(unit + (4 * stride), stride, rows));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ushort> Four(byte* unit, long stride, Vector512<ushort> rows) =>
        Avx512BW.PermuteVar32x16x2(Two(unit, stride, rows), Words(Pairs), Two(unit + (2 * stride), stride, rows));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ushort> Two(byte* unit, long stride, Vector512<ushort> rows) =>
        Avx512BW.PermuteVar32x16x2(Vector512.Load((ushort*)unit), rows, Vector512.Load((ushort*)(unit + stride)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ushort> Words(ReadOnlySpan<ushort> constant) => Vector512.LoadUnsafe(ref MemoryMarshal.GetReference(constant));
}
