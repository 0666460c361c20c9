using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: a half-precision scale, then for each 4 values the number of a vector of a <see cref="Codebook"/>, then for
/// each 32 values four bytes with seven bits of signs for each 8 and a four-bit number s. Value = scale × (s + 1/2) / 2 × vector.
/// </summary>
public static class IQ3_XXS
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 98;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("IQ3_XXS", 18, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < BlockLength; i += 4)
            {
                var rest = MemoryMarshal.Read<uint>(blocks[(66 + (i / 32 * 4))..]);
                var signs = Codebook.EvenSigns((int)(rest >> (i / 8 % 4 * 7)) & 127) >> (i % 8);
                Codebook.IQ3_XXS.Write(blocks[2 + (i / 4)], scale * (0.5f + (rest >> 28)) * 0.5f, signs, values[i..]);
            }
        }
    }
}
