using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen lanes of four bytes in an array: the scalar twin of every kernel written in <see cref="IByteLanes{T}"/>.</summary>
[InlineArray(Lanes.Count)]
internal unsafe struct ByteLanesScalar : IByteLanes<ByteLanesScalar>
{
    private uint _first;

    public static ByteLanesScalar Create(byte value)
    {
        ByteLanesScalar result = default;
        ((Span<uint>)result).Fill(value * 0x01010101u);
        return result;
    }

    public static ByteLanesScalar LoadFirst(byte* rows, long stride) => Load(rows, stride);

    public static ByteLanesScalar Load(byte* rows, long stride)
    {
        ByteLanesScalar result = default;
        for (var i = 0; i < Lanes.Count; i++)
            result[i] = *(uint*)(rows + (i * stride));
        return result;
    }

    public static void Load(
        byte* rows, long stride, out ByteLanesScalar first, out ByteLanesScalar second, out ByteLanesScalar third,
        out ByteLanesScalar fourth)
    {
        first = Load(rows, stride);
        second = Load(rows + 4, stride);
        third = Load(rows + 8, stride);
        fourth = Load(rows + 12, stride);
    }

    public static void Store(ByteLanesScalar value, byte* target) => ((Span<uint>)value).CopyTo(new Span<uint>(target, Lanes.Count));

    public static ByteLanesScalar operator &(ByteLanesScalar left, ByteLanesScalar right)
    {
        for (var i = 0; i < Lanes.Count; i++)
            left[i] &= right[i];
        return left;
    }

    public static ByteLanesScalar operator |(ByteLanesScalar left, ByteLanesScalar right)
    {
        for (var i = 0; i < Lanes.Count; i++)
            left[i] |= right[i];
        return left;
    }

    public static ByteLanesScalar operator ^(ByteLanesScalar left, ByteLanesScalar right)
    {
        for (var i = 0; i < Lanes.Count; i++)
            left[i] ^= right[i];
        return left;
    }

    public static ByteLanesScalar operator <<(ByteLanesScalar value, int bits)
    {
        for (var i = 0; i < Lanes.Count; i++)
            value[i] <<= bits;
        return value;
    }

    public static ByteLanesScalar operator >>(ByteLanesScalar value, int bits)
    {
        for (var i = 0; i < Lanes.Count; i++)
            value[i] >>= bits;
        return value;
    }

    public static ByteLanesScalar Lookup(ByteLanesScalar indices, byte* table)
    {
        for (var i = 0; i < Lanes.Count; i++)
        {
            var bytes = indices[i];
            indices[i] = table[bytes & 15] | ((uint)table[(bytes >> 8) & 15] << 8) | ((uint)table[(bytes >> 16) & 15] << 16)
                | ((uint)table[(bytes >> 24) & 15] << 24);
        }
        return indices;
    }

    public static void StoreLow(ByteLanesScalar value, ushort* target)
    {
        for (var i = 0; i < Lanes.Count; i++)
            target[i] = (ushort)value[i];
    }

    public static void StoreLowHalves(ByteLanesScalar value, float* target)
    {
        for (var i = 0; i < Lanes.Count; i++)
            target[i] = Halves.ToSingle((ushort)value[i]);
    }

    public static void ToSingles(ushort* source, float* target, int count)
    {
        for (var i = 0; i < count; i += Lanes.Count)
            LanesScalar.Store(LanesScalar.LoadHalf(source + i), target + i);
    }

    public static void StoreScales(ByteLanesScalar value, int index, int offset, float* factors, float* target)
    {
        for (var i = 0; i < Lanes.Count; i++)
            target[i] = ((int)((value[i] >> (8 * index)) & 0xFF) - offset) * factors[i];
    }
}
