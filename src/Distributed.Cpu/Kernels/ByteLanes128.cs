using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen lanes of four bytes in four 128-bit registers.</summary>
internal readonly unsafe struct ByteLanes128(Vector128<uint> a, Vector128<uint> b, Vector128<uint> c, Vector128<uint> d)
    : IByteLanes<ByteLanes128>
{
    private readonly Vector128<uint> _a = a;
    private readonly Vector128<uint> _b = b;
    private readonly Vector128<uint> _c = c;
    private readonly Vector128<uint> _d = d;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 Create(byte value)
    {
        var v = Vector128.Create(value).AsUInt32();
        return new(v, v, v, v);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 LoadFirst(byte* rows, long stride) => Load(rows, stride);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 Load(byte* rows, long stride) => new(
        Gather(rows, stride), Gather(rows + (4 * stride), stride), Gather(rows + (8 * stride), stride), Gather(rows + (12 * stride), stride));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load(
        byte* rows, long stride, out ByteLanes128 first, out ByteLanes128 second, out ByteLanes128 third, out ByteLanes128 fourth)
    {
        var (a0, a1, a2, a3) = Columns(rows, stride);
        var (b0, b1, b2, b3) = Columns(rows + (4 * stride), stride);
        var (c0, c1, c2, c3) = Columns(rows + (8 * stride), stride);
        var (d0, d1, d2, d3) = Columns(rows + (12 * stride), stride);
        first = new(a0, b0, c0, d0);
        second = new(a1, b1, c1, d1);
        third = new(a2, b2, c2, d2);
        fourth = new(a3, b3, c3, d3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ByteLanes128 value, byte* target)
    {
        value._a.AsByte().Store(target);
        value._b.AsByte().Store(target + 16);
        value._c.AsByte().Store(target + 32);
        value._d.AsByte().Store(target + 48);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 operator &(ByteLanes128 left, ByteLanes128 right) =>
        new(left._a & right._a, left._b & right._b, left._c & right._c, left._d & right._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 operator |(ByteLanes128 left, ByteLanes128 right) =>
        new(left._a | right._a, left._b | right._b, left._c | right._c, left._d | right._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 operator ^(ByteLanes128 left, ByteLanes128 right) =>
        new(left._a ^ right._a, left._b ^ right._b, left._c ^ right._c, left._d ^ right._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 operator <<(ByteLanes128 value, int bits) =>
        new(value._a << bits, value._b << bits, value._c << bits, value._d << bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 operator >>(ByteLanes128 value, int bits) =>
        new(value._a >> bits, value._b >> bits, value._c >> bits, value._d >> bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 Lookup(ByteLanes128 indices, byte* table)
    {
        var entries = Vector128.Load(table);
        return new(
            Lookup(entries, indices._a), Lookup(entries, indices._b), Lookup(entries, indices._c), Lookup(entries, indices._d));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreLow(ByteLanes128 value, ushort* target)
    {
        Vector128.Narrow(value._a, value._b).Store(target);
        Vector128.Narrow(value._c, value._d).Store(target + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreLowHalves(ByteLanes128 value, float* target)
    {
        var mask = Vector128.Create(0xFFFFu);
        Lanes128.Half(value._a & mask).Store(target);
        Lanes128.Half(value._b & mask).Store(target + 4);
        Lanes128.Half(value._c & mask).Store(target + 8);
        Lanes128.Half(value._d & mask).Store(target + 12);
    }

    public static void ToSingles(ushort* source, float* target, int count)
    {
        for (var i = 0; i < count; i += Lanes.Count)
            Lanes128.Store(Lanes128.LoadHalf(source + i), target + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScales(ByteLanes128 value, int index, int offset, float* factors, float* target)
    {
        Scale(value._a, index, offset, factors, target);
        Scale(value._b, index, offset, factors + 4, target + 4);
        Scale(value._c, index, offset, factors + 8, target + 8);
        Scale(value._d, index, offset, factors + 12, target + 12);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Lookup(Vector128<byte> entries, Vector128<uint> indices) =>
        Vector128.Shuffle(entries, indices.AsByte()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scale(Vector128<uint> value, int index, int offset, float* factors, float* target)
    {
        var bytes = ((value >> (8 * index)) & Vector128.Create(0xFFu)).AsInt32() - Vector128.Create(offset);
        (Vector128.ConvertToSingle(bytes) * Vector128.Load(factors)).Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Gather(byte* rows, long stride) =>
        Vector128.Create(*(uint*)rows, *(uint*)(rows + stride), *(uint*)(rows + (2 * stride)), *(uint*)(rows + (3 * stride)));

    /// <summary>Sixteen bytes of each of four rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<uint>, Vector128<uint>, Vector128<uint>, Vector128<uint>) Columns(byte* rows, long stride) =>
        (Gather(rows, stride), Gather(rows + 4, stride), Gather(rows + 8, stride), Gather(rows + 12, stride));
}
