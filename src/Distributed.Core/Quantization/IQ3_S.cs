using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: a half-precision scale; for each 4 values the lower byte of a vector's number in a <see cref="Codebook"/>;
/// for each 4 the upper bit of the number; for each 8 their signs; for each 32 a four-bit number s.
/// Value = scale × (2 s + 1) × vector.
/// </summary>
public static class IQ3_S
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 110;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("IQ3_S", 21, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < BlockLength; i += 4)
            {
                var index = blocks[2 + (i / 4)] | (((blocks[66 + (i / 32)] >> (i / 4 % 8)) & 1) << 8);
                var partScale = scale * (1 + (2 * ((blocks[106 + (i / 64)] >> (i / 32 % 2 * 4)) & 15)));
                Codebook.IQ3_S.Write(index, partScale, blocks[74 + (i / 8)] >> (i % 8), values[i..]);
            }
        }
    }
}
