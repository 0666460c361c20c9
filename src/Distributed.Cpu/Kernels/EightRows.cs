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
        // No gather instruction: it reads four bytes each, which may lie past the end of the file.
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

    /// <summary>Eight rows of eight four-byte groups become eight columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Transpose(
        ref Vector256<byte> r0, ref Vector256<byte> r1, ref Vector256<byte> r2, ref Vector256<byte> r3,
        ref Vector256<byte> r4, ref Vector256<byte> r5, ref Vector256<byte> r6, ref Vector256<byte> r7)
    {
        // Four rows at a time: column c in the lower half, column 4 + c in the upper.
        var (a0, a1, a2, a3) = Columns(r0, r1, r2, r3);
        var (b0, b1, b2, b3) = Columns(r4, r5, r6, r7);
        (r0, r4) = (Avx2.Permute2x128(a0, b0, 0x20), Avx2.Permute2x128(a0, b0, 0x31));
        (r1, r5) = (Avx2.Permute2x128(a1, b1, 0x20), Avx2.Permute2x128(a1, b1, 0x31));
        (r2, r6) = (Avx2.Permute2x128(a2, b2, 0x20), Avx2.Permute2x128(a2, b2, 0x31));
        (r3, r7) = (Avx2.Permute2x128(a3, b3, 0x20), Avx2.Permute2x128(a3, b3, 0x31));
    }

    /// <summary>The sums of four rows' lower halves, then of their upper halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> SumFour(Vector256<int> a, Vector256<int> b, Vector256<int> c, Vector256<int> d) =>
        Avx2.HorizontalAdd(Avx2.HorizontalAdd(a, b), Avx2.HorizontalAdd(c, d));

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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<byte>, Vector256<byte>, Vector256<byte>, Vector256<byte>) Columns(
        Vector256<byte> a, Vector256<byte> b, Vector256<byte> c, Vector256<byte> d)
    {
        var (ab0, ab1) = (Avx2.UnpackLow(a.AsInt32(), b.AsInt32()).AsInt64(), Avx2.UnpackHigh(a.AsInt32(), b.AsInt32()).AsInt64());
        var (cd0, cd1) = (Avx2.UnpackLow(c.AsInt32(), d.AsInt32()).AsInt64(), Avx2.UnpackHigh(c.AsInt32(), d.AsInt32()).AsInt64());
        return (
            Avx2.UnpackLow(ab0, cd0).AsByte(), Avx2.UnpackHigh(ab0, cd0).AsByte(),
            Avx2.UnpackLow(ab1, cd1).AsByte(), Avx2.UnpackHigh(ab1, cd1).AsByte());
    }
}
