using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>One row in four numbers: the scalar twin of every kernel written in <see cref="IRowBytes{T}"/>.</summary>
[InlineArray(Words)]
internal unsafe struct RowBytesScalar : IRowBytes<RowBytesScalar>
{
    private const int Words = 4;

    private uint _first;

    public static int Rows => 1;

    public static RowBytesScalar Load(byte* rows, long stride)
    {
        RowBytesScalar result = default;
        new ReadOnlySpan<uint>(rows, Words).CopyTo(result);
        return result;
    }

    public static RowBytesScalar LoadBits(byte* rows, long stride, int half)
    {
        RowBytesScalar result = default;
        for (var column = 0; column < Words * sizeof(uint); column++)
            result[column / 4] |= ((*(uint*)rows >> ((16 * half) + column)) & 1) * 255 << (8 * (column % 4));
        return result;
    }

    public static RowBytesScalar operator &(RowBytesScalar left, byte mask)
    {
        for (var i = 0; i < Words; i++)
            left[i] &= mask * 0x01010101u;
        return left;
    }

    public static RowBytesScalar operator |(RowBytesScalar left, RowBytesScalar right)
    {
        for (var i = 0; i < Words; i++)
            left[i] |= right[i];
        return left;
    }

    public static RowBytesScalar operator ^(RowBytesScalar left, byte mask)
    {
        for (var i = 0; i < Words; i++)
            left[i] ^= mask * 0x01010101u;
        return left;
    }

    public static RowBytesScalar operator <<(RowBytesScalar value, int bits)
    {
        for (var i = 0; i < Words; i++)
            value[i] <<= bits;
        return value;
    }

    public static RowBytesScalar operator >>(RowBytesScalar value, int bits)
    {
        for (var i = 0; i < Words; i++)
            value[i] >>= bits;
        return value;
    }

    public static RowBytesScalar Select(RowBytesScalar bytes, byte bit, byte value)
    {
        for (var i = 0; i < Words * sizeof(uint); i++)
            ((byte*)&bytes)[i] = (((byte*)&bytes)[i] & bit) != 0 ? value : (byte)0;
        return bytes;
    }

    public static RowBytesScalar Lookup(RowBytesScalar indices, byte* table)
    {
        for (var i = 0; i < Words; i++)
        {
            var bytes = indices[i];
            indices[i] = table[bytes & 15] | ((uint)table[(bytes >> 8) & 15] << 8) | ((uint)table[(bytes >> 16) & 15] << 16)
                | ((uint)table[(bytes >> 24) & 15] << 24);
        }
        return indices;
    }

    public static void Store(RowBytesScalar value, byte* numbers)
    {
        for (var i = 0; i < Words; i++)
            *(uint*)(numbers + (i * WeightPanel.ColumnBytes)) = value[i];
    }
}
