using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen lanes of four bytes in two 256-bit registers.</summary>
internal readonly unsafe struct ByteLanes256(Vector256<uint> low, Vector256<uint> high) : IByteLanes<ByteLanes256>
{
    private readonly Vector256<uint> _low = low;
    private readonly Vector256<uint> _high = high;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 Create(byte value) => new(Vector256.Create(value).AsUInt32(), Vector256.Create(value).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 LoadFirst(byte* rows, long stride) => Load(rows, stride);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 Load(byte* rows, long stride) => new(Gather(rows, stride), Gather(rows + (8 * stride), stride));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load(
        byte* rows, long stride, out ByteLanes256 first, out ByteLanes256 second, out ByteLanes256 third, out ByteLanes256 fourth)
    {
        LoadEight(rows, stride, out var l0, out var l1, out var l2, out var l3);
        LoadEight(rows + (8 * stride), stride, out var h0, out var h1, out var h2, out var h3);
        first = new(l0, h0);
        second = new(l1, h1);
        third = new(l2, h2);
        fourth = new(l3, h3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ByteLanes256 value, byte* target)
    {
        value._low.AsByte().Store(target);
        value._high.AsByte().Store(target + 32);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 operator &(ByteLanes256 left, ByteLanes256 right) => new(left._low & right._low, left._high & right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 operator |(ByteLanes256 left, ByteLanes256 right) => new(left._low | right._low, left._high | right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 operator ^(ByteLanes256 left, ByteLanes256 right) => new(left._low ^ right._low, left._high ^ right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 operator <<(ByteLanes256 value, int bits) => new(value._low << bits, value._high << bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 operator >>(ByteLanes256 value, int bits) => new(value._low >> bits, value._high >> bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes256 Lookup(ByteLanes256 indices, byte* table)
    {
        var entries = Vector256.Create(Vector128.Load(table));
        return new(Avx2.Shuffle(entries, indices._low.AsByte()).AsUInt32(), Avx2.Shuffle(entries, indices._high.AsByte()).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreLow(ByteLanes256 value, ushort* target) => Vector256.Narrow(value._low, value._high).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreLowHalves(ByteLanes256 value, float* target)
    {
        var mask = Vector256.Create(0xFFFFu);
        Lanes256.Half(value._low & mask).Store(target);
        Lanes256.Half(value._high & mask).Store(target + 8);
    }

    public static void ToSingles(ushort* source, float* target, int count)
    {
        for (var i = 0; i < count; i += Lanes.Count)
            Lanes256.Store(Lanes256.LoadHalf(source + i), target + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScales(ByteLanes256 value, int index, int offset, float* factors, float* target)
    {
        Scale(value._low, index, offset, factors, target);
        Scale(value._high, index, offset, factors + 8, target + 8);
    }

    /// <summary>Four bytes of each of eight rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector256<uint> Gather(byte* rows, long stride)
    {
        var offsets = Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7) * Vector256.Create((int)stride);
        return Avx2.GatherVector256((uint*)rows, offsets, 1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scale(Vector256<uint> value, int index, int offset, float* factors, float* target)
    {
        var bytes = ((value >> (8 * index)) & Vector256.Create(0xFFu)).AsInt32() - Vector256.Create(offset);
        (Vector256.ConvertToSingle(bytes) * Vector256.Load(factors)).Store(target);
    }

    /// <summary>Sixteen bytes of each of eight rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadEight(
        byte* rows, long stride, out Vector256<uint> first, out Vector256<uint> second, out Vector256<uint> third,
        out Vector256<uint> fourth)
    {
        var a = Pair(rows, stride);
        var b = Pair(rows + stride, stride);
        var c = Pair(rows + (2 * stride), stride);
        var d = Pair(rows + (3 * stride), stride);
        var abLow = Avx2.UnpackLow(a, b).AsUInt64();
        var abHigh = Avx2.UnpackHigh(a, b).AsUInt64();
        var cdLow = Avx2.UnpackLow(c, d).AsUInt64();
        var cdHigh = Avx2.UnpackHigh(c, d).AsUInt64();
        first = Avx2.UnpackLow(abLow, cdLow).AsUInt32();
        second = Avx2.UnpackHigh(abLow, cdLow).AsUInt32();
        third = Avx2.UnpackLow(abHigh, cdHigh).AsUInt32();
        fourth = Avx2.UnpackHigh(abHigh, cdHigh).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Pair(byte* row, long stride) =>
        Vector256.Create(Vector128.Load(row), Vector128.Load(row + (4 * stride))).AsUInt32();
}
