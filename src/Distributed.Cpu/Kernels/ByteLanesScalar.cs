namespace Distributed.Cpu.Kernels;

/// <summary>One lane of four bytes in a number: the scalar twin of every kernel written in <see cref="IByteLanes{T}"/>.</summary>
internal readonly unsafe struct ByteLanesScalar(uint value) : IByteLanes<ByteLanesScalar>
{
    private readonly uint _v = value;

    public static int Rows => 1;

    public static ByteLanesScalar Create(byte value) => new(value * 0x01010101u);

    public static ByteLanesScalar LoadFirst(byte* rows, long stride) => Load(rows, stride);

    public static ByteLanesScalar Load(byte* rows, long stride) => new(*(uint*)rows);

    public static void Load(
        byte* rows, long stride, out ByteLanesScalar first, out ByteLanesScalar second, out ByteLanesScalar third,
        out ByteLanesScalar fourth)
    {
        first = Load(rows, stride);
        second = Load(rows + 4, stride);
        third = Load(rows + 8, stride);
        fourth = Load(rows + 12, stride);
    }

    public static ByteLanesScalar operator &(ByteLanesScalar left, ByteLanesScalar right) => new(left._v & right._v);

    public static ByteLanesScalar operator |(ByteLanesScalar left, ByteLanesScalar right) => new(left._v | right._v);

    public static ByteLanesScalar operator ^(ByteLanesScalar left, ByteLanesScalar right) => new(left._v ^ right._v);

    public static ByteLanesScalar operator <<(ByteLanesScalar value, int bits) => new(value._v << bits);

    public static ByteLanesScalar operator >>(ByteLanesScalar value, int bits) => new(value._v >> bits);

    public static void StoreLow(ByteLanesScalar value, ushort* target) => *target = (ushort)value._v;

    public static void StoreLowHalves(ByteLanesScalar value, float* target) => *target = Halves.ToSingle((ushort)value._v);

    public static void ToSingles(ushort* source, float* target, int count)
    {
        for (var i = 0; i < count; i += Lanes.Count)
            LanesScalar.Store(LanesScalar.LoadHalf(source + i), target + i);
    }

    public static void StoreScales(ByteLanesScalar value, int index, int offset, float* factors, float* target) =>
        *target = ((int)((value._v >> (8 * index)) & 0xFF) - offset) * *factors;
}
