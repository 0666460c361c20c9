using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen lanes of four bytes in one 512-bit register.</summary>
internal readonly unsafe struct ByteLanes512(Vector512<uint> value) : IByteLanes<ByteLanes512>
{
    private readonly Vector512<uint> _v = value;

    public static int Rows => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes512 Create(byte value) => new(Vector512.Create(value).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes512 Load(byte* rows, long stride) =>
        new(Join(ByteLanes256.Gather(rows, stride), ByteLanes256.Gather(rows + (8 * stride), stride)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes512 LoadFirst(byte* rows, long stride)
    {
        // A gather takes longer than sixteen loads.
        var a = EveryFourth(rows, stride);
        var b = EveryFourth(rows + stride, stride);
        var c = EveryFourth(rows + (2 * stride), stride);
        var d = EveryFourth(rows + (3 * stride), stride);
        return new(Avx512F.UnpackLow(Avx512F.UnpackLow(a, b).AsUInt64(), Avx512F.UnpackLow(c, d).AsUInt64()).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load(
        byte* rows, long stride, out ByteLanes512 first, out ByteLanes512 second, out ByteLanes512 third, out ByteLanes512 fourth)
    {
        // Every fourth row in one register: unpacking four of them twice puts the rows in order within each 128 bits.
        var a = EveryFourth(rows, stride);
        var b = EveryFourth(rows + stride, stride);
        var c = EveryFourth(rows + (2 * stride), stride);
        var d = EveryFourth(rows + (3 * stride), stride);
        var abLow = Avx512F.UnpackLow(a, b).AsUInt64();
        var abHigh = Avx512F.UnpackHigh(a, b).AsUInt64();
        var cdLow = Avx512F.UnpackLow(c, d).AsUInt64();
        var cdHigh = Avx512F.UnpackHigh(c, d).AsUInt64();
        first = new(Avx512F.UnpackLow(abLow, cdLow).AsUInt32());
        second = new(Avx512F.UnpackHigh(abLow, cdLow).AsUInt32());
        third = new(Avx512F.UnpackLow(abHigh, cdHigh).AsUInt32());
        fourth = new(Avx512F.UnpackHigh(abHigh, cdHigh).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes512 operator &(ByteLanes512 left, ByteLanes512 right) => new(left._v & right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes512 operator |(ByteLanes512 left, ByteLanes512 right) => new(left._v | right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes512 operator ^(ByteLanes512 left, ByteLanes512 right) => new(left._v ^ right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes512 operator <<(ByteLanes512 value, int bits) => new(value._v << bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ByteLanes512 operator >>(ByteLanes512 value, int bits) => new(value._v >> bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreLow(ByteLanes512 value, ushort* target) => Avx512F.ConvertToVector256UInt16(value._v).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreLowHalves(ByteLanes512 value, float* target) => Lanes512.Half(value._v & Vector512.Create(0xFFFFu)).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToSingles(ushort* source, float* target, int count)
    {
        if (AssembledHalves.ToSingles is not null)
        {
            AssembledHalves.ToSingles(source, target, count);
            return;
        }
        for (var i = 0; i < count; i += Lanes.Count)
            Lanes512.Store(Lanes512.LoadHalf(source + i), target + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScales(ByteLanes512 value, int index, int offset, float* factors, float* target)
    {
        var bytes = ((value._v >> (8 * index)) & Vector512.Create(0xFFu)).AsInt32() - Vector512.Create(offset);
        (Vector512.ConvertToSingle(bytes) * Vector512.Load(factors)).Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> EveryFourth(byte* row, long stride) => Join(
        Vector256.Create(Vector128.Load(row), Vector128.Load(row + (4 * stride))).AsUInt32(),
        Vector256.Create(Vector128.Load(row + (8 * stride)), Vector128.Load(row + (12 * stride))).AsUInt32());

    // Vector512.Create of two halves goes through memory.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Join(Vector256<uint> lower, Vector256<uint> upper) => lower.ToVector512Unsafe().WithUpper(upper);
}
