using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 32 values: a half-precision scale and minimum, then 16 bytes of two four-bit numbers. Value i &lt; 16 is the lower
/// half of byte i, value 16 + i its upper half; value = scale × number + minimum.
/// </summary>
public static class Q4_1
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 32;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 20;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q4_1", 3, BlockLength, BlockBytes, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            var min = (float)MemoryMarshal.Read<Half>(blocks[2..]);
            for (var i = 0; i < 16; i++)
            {
                values[i] = (scale * (blocks[4 + i] & 15)) + min;
                values[i + 16] = (scale * (blocks[4 + i] >> 4)) + min;
            }
        }
    }

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        Span<int> numbers = stackalloc int[BlockLength];
        for (; values.Length >= BlockLength; values = values[BlockLength..], blocks = blocks[BlockBytes..])
        {
            var block = values[..BlockLength];
            var (scale, min) = ScaleSearch.FindScaleAndOffset(block, 15, belowZero: false);
            scale = Rounding.WriteHalf(blocks, scale);
            min = Rounding.WriteHalf(blocks[2..], min);
            Rounding.ToNumbers(block, scale, min, 0, 15, numbers);
            for (var i = 0; i < 16; i++)
                blocks[4 + i] = (byte)(numbers[i] | (numbers[i + 16] << 4));
        }
    }
}
