using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 64 values: a half-precision scale, then two bits per value, the lowest first. Value = scale × (number − 1).
/// </summary>
public static class Q2_0
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 64;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 18;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q2_0", 42, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < BlockLength; i++)
                values[i] = scale * (((blocks[2 + (i / 4)] >> (i % 4 * 2)) & 3) - 1);
        }
    }
}
