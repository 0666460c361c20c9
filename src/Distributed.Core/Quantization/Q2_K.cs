using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: sixteen bytes with a four-bit scale (lower half) and minimum (upper half) for 16 values each, 64 bytes of
/// two-bit numbers, and half-precision factors of scales and minimums. Within each half of 128 values, value 32q + i is bits 2q of
/// byte i. Value = factor × scale × number − minimum factor × minimum.
/// </summary>
public static class Q2_K
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 84;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q2_K", 10, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var numbers = blocks[16..80];
            var factor = (float)MemoryMarshal.Read<Half>(blocks[80..]);
            var minFactor = (float)MemoryMarshal.Read<Half>(blocks[82..]);
            for (var i = 0; i < BlockLength; i++)
            {
                var (half, quarter, column) = (i / 128, i / 32 % 4, i % 32);
                var number = (numbers[(half * 32) + column] >> (quarter * 2)) & 3;
                values[i] = (factor * (blocks[i / 16] & 15) * number) - (minFactor * (blocks[i / 16] >> 4));
            }
        }
    }
}
