using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: a half-precision scale, then for each 32 values four bytes, the numbers of four vectors of a
/// <see cref="Codebook"/>, and four bytes with seven bits of signs for each and a four-bit number s.
/// Value = scale × (s + 1/2) / 4 × vector.
/// </summary>
public static class IQ2_XXS
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 66;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("IQ2_XXS", 16, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < BlockLength; i += 32)
            {
                var part = blocks[(2 + (i / 4))..];
                var rest = MemoryMarshal.Read<uint>(part[4..]);
                var partScale = scale * (0.5f + (rest >> 28)) * 0.25f;
                for (var k = 0; k < 4; k++)
                {
                    var signs = Codebook.EvenSigns((int)(rest >> (7 * k)) & 127);
                    Codebook.IQ2_XXS.Write(part[k], partScale, signs, values[(i + (8 * k))..]);
                }
            }
        }
    }
}
