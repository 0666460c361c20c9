using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 32 values: a half-precision scale, then 16 bytes of two four-bit numbers. Value i &lt; 16 is the lower half of
/// byte i, value 16 + i its upper half; value = scale × (number − 8).
/// </summary>
public static class Q4_0
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 32;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 18;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q4_0", 2, BlockLength, BlockBytes, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < 16; i++)
            {
                values[i] = scale * ((blocks[2 + i] & 15) - 8);
                values[i + 16] = scale * ((blocks[2 + i] >> 4) - 8);
            }
        }
    }

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        Span<int> numbers = stackalloc int[BlockLength];
        for (; values.Length >= BlockLength; values = values[BlockLength..], blocks = blocks[BlockBytes..])
        {
            var block = values[..BlockLength];
            var scale = Rounding.WriteHalf(blocks, ScaleSearch.FindScale(block, -8, 7));
            Rounding.ToNumbers(block, scale, 0, -8, 7, numbers);
            for (var i = 0; i < 16; i++)
                blocks[2 + i] = (byte)((numbers[i] + 8) | ((numbers[i + 16] + 8) << 4));
        }
    }
}
