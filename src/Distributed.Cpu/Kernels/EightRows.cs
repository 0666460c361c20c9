using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>Gathers what eight rows of weights have at the same place into the lanes of one vector.</summary>
internal static unsafe class EightRows
{
    /// <summary>A half of each row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Halves(byte* first, long rowBytes)
    {
        var second = first + (4 * rowBytes);
        var bits = Vector128.Create(
            *(ushort*)first,
            *(ushort*)(first + rowBytes),
            *(ushort*)(first + (2 * rowBytes)),
            *(ushort*)(first + (3 * rowBytes)),
            *(ushort*)second,
            *(ushort*)(second + rowBytes),
            *(ushort*)(second + (2 * rowBytes)),
            *(ushort*)(second + (3 * rowBytes)));
        return Lanes256.Half(Avx2.ConvertToVector256Int32(bits).AsUInt32());
    }

    /// <summary>Eight rows of eight bytes become eight columns: target[column][row].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Transpose(ulong* rows, ref byte target)
    {
        var (r0, r1, r2, r3) = (Pair(rows, 0), Pair(rows, 2), Pair(rows, 4), Pair(rows, 6));
        // Each pair is now r0c0 r1c0 r0c1 r1c1 ...; twice more doubles the runs of rows.
        var (low01, high01) = (Sse2.UnpackLow(r0, r1), Sse2.UnpackHigh(r0, r1));
        var (low23, high23) = (Sse2.UnpackLow(r2, r3), Sse2.UnpackHigh(r2, r3));
        Sse2.UnpackLow(low01.AsUInt32(), low23.AsUInt32()).AsByte().StoreUnsafe(ref target);
        Sse2.UnpackHigh(low01.AsUInt32(), low23.AsUInt32()).AsByte().StoreUnsafe(ref target, 16);
        Sse2.UnpackLow(high01.AsUInt32(), high23.AsUInt32()).AsByte().StoreUnsafe(ref target, 32);
        Sse2.UnpackHigh(high01.AsUInt32(), high23.AsUInt32()).AsByte().StoreUnsafe(ref target, 48);
    }

    /// <summary>Group <paramref name="index"/> as unsigned integers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Unsigned(ref RowScales.RowBytes bytes, int index) =>
        Avx2.ConvertToVector256Int32(Vector128.CreateScalarUnsafe(Group(ref bytes, index)).AsByte());

    /// <summary>Group <paramref name="index"/> as signed integers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Signed(ref RowScales.RowBytes bytes, int index) =>
        Avx2.ConvertToVector256Int32(Vector128.CreateScalarUnsafe(Group(ref bytes, index)).AsSByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Group(ref RowScales.RowBytes bytes, int index) =>
        Unsafe.Add(ref Unsafe.As<RowScales.RowBytes, ulong>(ref bytes), index);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ushort> Pair(ulong* rows, int row) => Sse2.UnpackLow(
        Vector128.CreateScalarUnsafe(rows[row]).AsByte(), Vector128.CreateScalarUnsafe(rows[row + 1]).AsByte()).AsUInt16();
}
