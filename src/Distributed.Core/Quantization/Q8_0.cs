using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 32 values: a half-precision scale, then 32 signed bytes; value = scale × byte.
/// </summary>
public static class Q8_0
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 32;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 34;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q8_0", 8, BlockLength, BlockBytes, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < BlockLength; i++)
                values[i] = scale * (sbyte)blocks[2 + i];
        }
    }

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        Span<int> numbers = stackalloc int[BlockLength];
        for (; values.Length >= BlockLength; values = values[BlockLength..], blocks = blocks[BlockBytes..])
        {
            var block = values[..BlockLength];
            var scale = Rounding.WriteHalf(blocks, MathF.Abs(ScaleSearch.Extreme(block)) / 127);
            Rounding.ToNumbers(block, scale, 0, -127, 127, numbers);
            for (var i = 0; i < BlockLength; i++)
                blocks[2 + i] = (byte)numbers[i];
        }
    }
}
