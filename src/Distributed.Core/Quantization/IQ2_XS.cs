using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: a half-precision scale, then for each 8 values 16 bits, the number of a vector of a <see cref="Codebook"/>
/// in the lower nine and signs in the others, then for each 16 values a four-bit number s. Value = scale × (s + 1/2) / 4 × vector.
/// </summary>
public static class IQ2_XS
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 74;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("IQ2_XS", 17, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < BlockLength; i += 8)
            {
                int bits = MemoryMarshal.Read<ushort>(blocks[(2 + (i / 4))..]);
                var partScale = scale * (0.5f + ((blocks[66 + (i / 32)] >> (i / 16 % 2 * 4)) & 15)) * 0.25f;
                Codebook.IQ2_XS.Write(bits & 511, partScale, Codebook.EvenSigns(bits >> 9), values[i..]);
            }
        }
    }
}
