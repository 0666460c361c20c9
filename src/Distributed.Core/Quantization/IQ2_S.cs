using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: a half-precision scale; for each 8 values the lower byte of a vector's number in a <see cref="Codebook"/>; for
/// each 8 their signs; for each 8 the upper two bits of the number; for each 16 a four-bit number s.
/// Value = scale × (s + 1/2) / 4 × vector.
/// </summary>
public static class IQ2_S
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 82;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("IQ2_S", 22, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < BlockLength; i += 8)
            {
                var index = blocks[2 + (i / 8)] | (((blocks[66 + (i / 32)] >> (i / 8 % 4 * 2)) & 3) << 8);
                var partScale = scale * (0.5f + ((blocks[74 + (i / 32)] >> (i / 16 % 2 * 4)) & 15)) * 0.25f;
                Codebook.IQ2_S.Write(index, partScale, blocks[34 + (i / 8)], values[i..]);
            }
        }
    }
}
