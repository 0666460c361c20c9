using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 32 values: a half-precision scale, 32 bits with the fifth bit of each number, then 16 bytes of two times four bits
/// as in <see cref="Q4_0"/>. Value = scale × (number − 16).
/// </summary>
public static class Q5_0
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 32;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 22;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q5_0", 6, BlockLength, BlockBytes, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            var fifth = MemoryMarshal.Read<uint>(blocks[2..]);
            for (var i = 0; i < BlockLength; i++)
            {
                var low = (blocks[6 + (i % 16)] >> (i / 16 * 4)) & 15;
                values[i] = scale * ((low | (int)((fifth >> i) & 1) << 4) - 16);
            }
        }
    }

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        Span<int> numbers = stackalloc int[BlockLength];
        for (; values.Length >= BlockLength; values = values[BlockLength..], blocks = blocks[BlockBytes..])
        {
            var block = values[..BlockLength];
            var scale = Rounding.WriteHalf(blocks, ScaleSearch.FindScale(block, -16, 15));
            Rounding.ToNumbers(block, scale, 0, -16, 15, numbers);
            var fifth = 0u;
            for (var i = 0; i < BlockLength; i++)
                fifth |= (uint)((numbers[i] + 16) >> 4) << i;
            MemoryMarshal.Write(blocks[2..], fifth);
            for (var i = 0; i < 16; i++)
                blocks[6 + i] = (byte)((numbers[i] & 15) | ((numbers[i + 16] & 15) << 4));
        }
    }
}
