using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 ternary values: 64 bytes of four two-bit numbers, then a half-precision scale. Number k of byte i is value
/// 128 × (i / 32) + 32 k + i mod 32; value = scale × (number − 1).
/// </summary>
public static class TQ2_0
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 66;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("TQ2_0", 35, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks[64..]);
            for (var i = 0; i < BlockLength; i++)
                values[i] = scale * (((blocks[(i / 128 * 32) + (i % 32)] >> (i / 32 % 4 * 2)) & 3) - 1);
        }
    }
}
