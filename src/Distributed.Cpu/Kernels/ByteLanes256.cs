using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>Eight lanes of four bytes in a 256-bit register.</summary>
internal readonly unsafe struct ByteLanes256(Vector256<uint> value) : IByteLanes<ByteLanes256>
{
    private readonly Vector256<uint> _v = value;

    public static int Rows => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 Create(byte value) => new(Vector256.Create(value).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 Load(byte* rows, long stride) => new(Gather(rows, stride));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 LoadFirst(byte* rows, long stride)
    {
        var ab = Avx2.UnpackLow(Pair(rows, stride), Pair(rows + stride, stride)).AsUInt64();
        var cd = Avx2.UnpackLow(Pair(rows + (2 * stride), stride), Pair(rows + (3 * stride), stride)).AsUInt64();
        return new(Avx2.UnpackLow(ab, cd).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load(
        byte* rows, long stride, out ByteLanes256 first, out ByteLanes256 second, out ByteLanes256 third, out ByteLanes256 fourth)
    {
        var a = Pair(rows, stride);
        var b = Pair(rows + stride, stride);
        var c = Pair(rows + (2 * stride), stride);
        var d = Pair(rows + (3 * stride), stride);
        var abLow = Avx2.UnpackLow(a, b).AsUInt64();
        var abHigh = Avx2.UnpackHigh(a, b).AsUInt64();
        var cdLow = Avx2.UnpackLow(c, d).AsUInt64();
        var cdHigh = Avx2.UnpackHigh(c, d).AsUInt64();
        first = new(Avx2.UnpackLow(abLow, cdLow).AsUInt32());
        second = new(Avx2.UnpackHigh(abLow, cdLow).AsUInt32());
        third = new(Avx2.UnpackLow(abHigh, cdHigh).AsUInt32());
        fourth = new(Avx2.UnpackHigh(abHigh, cdHigh).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 operator &(ByteLanes256 left, ByteLanes256 right) => new(left._v & right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 operator |(ByteLanes256 left, ByteLanes256 right) => new(left._v | right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 operator ^(ByteLanes256 left, ByteLanes256 right) => new(left._v ^ right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 operator <<(ByteLanes256 value, int bits) => new(value._v << bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 operator >>(ByteLanes256 value, int bits) => new(value._v >> bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreLow(ByteLanes256 value, ushort* target) => Vector256.Narrow(value._v, value._v).GetLower().Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreLowHalves(ByteLanes256 value, float* target) => Lanes256.Half(value._v).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToSingles(ushort* source, float* target, int count)
    {
        if (AssembledHalves.ToSingles is not null)
        {
            AssembledHalves.ToSingles(source, target, count);
            return;
        }
        for (var i = 0; i < count; i += Lanes.Count)
            Lanes256.Store(Lanes256.LoadHalf(source + i), target + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScales(ByteLanes256 value, int index, int offset, float* factors, float* target)
    {
        var bytes = ((value._v >> (8 * index)) & Vector256.Create(0xFFu)).AsInt32() - Vector256.Create(offset);
        (Vector256.ConvertToSingle(bytes) * Vector256.Load(factors)).Store(target);
    }

    /// <summary>Four bytes of each of eight rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector256<uint> Gather(byte* rows, long stride)
    {
        // The instruction for it takes some processors (Zen 2) longer than eight loads.
        var upper = rows + (4 * stride);
        return Vector256.Create(
            Vector128.Create(*(uint*)rows, *(uint*)(rows + stride), *(uint*)(rows + (2 * stride)), *(uint*)(rows + (3 * stride))),
            Vector128.Create(*(uint*)upper, *(uint*)(upper + stride), *(uint*)(upper + (2 * stride)), *(uint*)(upper + (3 * stride))));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Pair(byte* row, long stride) => RowBytes256.Pair(row, row + (4 * stride)).AsUInt32();
}
