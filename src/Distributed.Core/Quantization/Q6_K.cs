using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: 128 bytes with the lower four bits of each number, 64 bytes with the upper two, sixteen signed bytes of
/// scales (one for 16 values), and a half-precision factor. Within each half of 128 values, value 32q + i takes its lower bits
/// from byte 32 (q mod 2) + i (lower half for q &lt; 2) and its upper bits from bits 2q of byte i.
/// Value = factor × scale × (number − 32).
/// </summary>
public static class Q6_K
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 210;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q6_K", 14, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var lower = blocks[..128];
            var upper = blocks[128..192];
            var scales = blocks[192..208];
            var factor = (float)MemoryMarshal.Read<Half>(blocks[208..]);
            for (var i = 0; i < BlockLength; i++)
            {
                var (half, quarter, column) = (i / 128, i / 32 % 4, i % 32);
                var low = (lower[(half * 64) + (quarter % 2 * 32) + column] >> (quarter / 2 * 4)) & 15;
                var high = (upper[(half * 32) + column] >> (quarter * 2)) & 3;
                values[i] = factor * (sbyte)scales[i / 16] * ((low | (high << 4)) - 32);
            }
        }
    }
}
