using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: 32 bytes with the third bit of each number (bit 4h + q of byte i), 64 bytes with the lower two, twelve bytes
/// with sixteen six-bit scales, and a half-precision factor. Within half h of 128 values, value 32q + i is bits 2q of byte i.
/// A number whose third bit is clear counts four less; value = factor × (scale − 32) × number.
/// </summary>
public static class Q3_K
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 110;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q3_K", 11, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var numbers = blocks[32..96];
            var scales = blocks[96..108];
            var factor = (float)MemoryMarshal.Read<Half>(blocks[108..]);
            for (var i = 0; i < BlockLength; i++)
            {
                var (half, quarter, column) = (i / 128, i / 32 % 4, i % 32);
                var low = (numbers[(half * 32) + column] >> (quarter * 2)) & 3;
                var third = (blocks[column] >> ((half * 4) + quarter)) & 1;
                values[i] = factor * (Scale(scales, i / 16) - 32) * (low + (third * 4) - 4);
            }
        }
    }

    // The lower four bits are in the halves of bytes 0–7, the upper two in bytes 8–11, four scales each.
    private static int Scale(ReadOnlySpan<byte> scales, int group) =>
        ((scales[group % 8] >> (group / 8 * 4)) & 15) | (((scales[8 + (group % 4)] >> (group / 4 * 2)) & 3) << 4);
}
