using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 128 values: a half-precision scale, then one bit per value, the lowest first. Value = scale where the bit is set, else
/// −scale.
/// </summary>
public static class Q1_0
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 128;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 18;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q1_0", 41, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < BlockLength; i++)
                values[i] = (blocks[2 + (i / 8)] >> (i % 8) & 1) == 0 ? -scale : scale;
        }
    }
}
