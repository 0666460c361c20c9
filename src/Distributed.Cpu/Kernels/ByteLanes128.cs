using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Cpu.Kernels;

/// <summary>Four lanes of four bytes in a 128-bit register.</summary>
internal readonly unsafe struct ByteLanes128(Vector128<uint> value) : IByteLanes<ByteLanes128>
{
    private readonly Vector128<uint> _v = value;

    public static int Rows => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 Create(byte value) => new(Vector128.Create(value).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 LoadFirst(byte* rows, long stride) => Load(rows, stride);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 Load(byte* rows, long stride) =>
        new(Vector128.Create(*(uint*)rows, *(uint*)(rows + stride), *(uint*)(rows + (2 * stride)), *(uint*)(rows + (3 * stride))));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load(
        byte* rows, long stride, out ByteLanes128 first, out ByteLanes128 second, out ByteLanes128 third, out ByteLanes128 fourth)
    {
        first = Load(rows, stride);
        second = Load(rows + 4, stride);
        third = Load(rows + 8, stride);
        fourth = Load(rows + 12, stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 operator &(ByteLanes128 left, ByteLanes128 right) => new(left._v & right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 operator |(ByteLanes128 left, ByteLanes128 right) => new(left._v | right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 operator ^(ByteLanes128 left, ByteLanes128 right) => new(left._v ^ right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 operator <<(ByteLanes128 value, int bits) => new(value._v << bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes128 operator >>(ByteLanes128 value, int bits) => new(value._v >> bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreLow(ByteLanes128 value, ushort* target) => Vector128.Narrow(value._v, value._v).GetLower().Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreLowHalves(ByteLanes128 value, float* target) => Lanes128.Half(value._v & Vector128.Create(0xFFFFu)).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToSingles(ushort* source, float* target, int count)
    {
        for (var i = 0; i < count; i += Lanes.Count)
            Lanes128.Store(Lanes128.LoadHalf(source + i), target + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScales(ByteLanes128 value, int index, int offset, float* factors, float* target)
    {
        var bytes = ((value._v >> (8 * index)) & Vector128.Create(0xFFu)).AsInt32() - Vector128.Create(offset);
        (Vector128.ConvertToSingle(bytes) * Vector128.Load(factors)).Store(target);
    }
}
