using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 32 values: a half-precision scale and minimum, 32 bits with the fifth bit of each number, then 16 bytes of two times
/// four bits as in <see cref="Q4_1"/>. Value = scale × number + minimum.
/// </summary>
public static class Q5_1
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 32;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 24;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q5_1", 7, BlockLength, BlockBytes, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            var min = (float)MemoryMarshal.Read<Half>(blocks[2..]);
            var fifth = MemoryMarshal.Read<uint>(blocks[4..]);
            for (var i = 0; i < BlockLength; i++)
            {
                var low = (blocks[8 + (i % 16)] >> (i / 16 * 4)) & 15;
                values[i] = (scale * (low | (int)((fifth >> i) & 1) << 4)) + min;
            }
        }
    }

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        Span<int> numbers = stackalloc int[BlockLength];
        for (; values.Length >= BlockLength; values = values[BlockLength..], blocks = blocks[BlockBytes..])
        {
            var block = values[..BlockLength];
            var (scale, min) = ScaleSearch.FindScaleAndOffset(block, 31, belowZero: false);
            scale = Rounding.WriteHalf(blocks, scale);
            min = Rounding.WriteHalf(blocks[2..], min);
            Rounding.ToNumbers(block, scale, min, 0, 31, numbers);
            var fifth = 0u;
            for (var i = 0; i < BlockLength; i++)
                fifth |= (uint)(numbers[i] >> 4) << i;
            MemoryMarshal.Write(blocks[4..], fifth);
            for (var i = 0; i < 16; i++)
                blocks[8 + i] = (byte)((numbers[i] & 15) | ((numbers[i + 16] & 15) << 4));
        }
    }
}
