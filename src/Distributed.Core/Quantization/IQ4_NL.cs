using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 32 values laid out as in <see cref="Q4_0"/>, but a number is an index into sixteen unevenly spaced <see cref="Levels"/>;
/// value = scale × level.
/// </summary>
public static class IQ4_NL
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 32;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 18;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("IQ4_NL", 20, BlockLength, BlockBytes, Dequantize);

    /// <summary>What the sixteen numbers stand for.</summary>
    public static ReadOnlySpan<sbyte> Levels => [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < 16; i++)
            {
                values[i] = scale * Levels[blocks[2 + i] & 15];
                values[i + 16] = scale * Levels[blocks[2 + i] >> 4];
            }
        }
    }
}
