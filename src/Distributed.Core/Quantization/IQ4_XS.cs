using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values in eight groups of 32: a half-precision factor, sixteen bits with the upper two bits of each group's scale,
/// four bytes with the lower four, then 16 bytes a group laid out as in <see cref="Q4_0"/>, with the levels of
/// <see cref="IQ4_NL"/>. Value = factor × (scale − 32) × level.
/// </summary>
public static class IQ4_XS
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 136;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("IQ4_XS", 23, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var factor = (float)MemoryMarshal.Read<Half>(blocks);
            var upper = MemoryMarshal.Read<ushort>(blocks[2..]);
            for (var group = 0; group < 8; group++)
            {
                var scale = ((blocks[4 + (group / 2)] >> (group % 2 * 4)) & 15) | (((upper >> (group * 2)) & 3) << 4);
                var d = factor * (scale - 32);
                var numbers = blocks.Slice(8 + (group * 16), 16);
                for (var i = 0; i < 32; i++)
                    values[(group * 32) + i] = d * IQ4_NL.Levels[(numbers[i % 16] >> (i / 16 * 4)) & 15];
            }
        }
    }
}
