using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: for each 8 values the lower byte of a vector's number in a <see cref="Codebook"/>; for each 8 four bits, the
/// upper three of the number and the sign of a shift of 1/8; four times 16 bits with four three-bit numbers s each, one for 16 values,
/// and four bits of the half-precision scale, the lowest first. Value = scale × (2 s + 1) × (vector ± 1/8).
/// </summary>
public static class IQ1_M
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 56;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("IQ1_M", 29, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var words = MemoryMarshal.Cast<byte, ushort>(blocks[48..BlockBytes]);
            var bits = (words[0] >> 12) | ((words[1] >> 8) & 0xF0) | ((words[2] >> 4) & 0xF00) | (words[3] & 0xF000);
            var scale = (float)BitConverter.UInt16BitsToHalf((ushort)bits);
            for (var i = 0; i < BlockLength; i += 8)
            {
                var rest = blocks[32 + (i / 16)] >> (i / 8 % 2 * 4);
                var partScale = scale * (1 + (2 * ((words[i / 64] >> (i / 16 % 4 * 3)) & 7)));
                Codebook.IQ1.Write(
                    blocks[i / 8] | ((rest & 7) << 8), partScale, 0, values[i..], shift: (rest & 8) == 0 ? 0.125f : -0.125f);
            }
        }
    }
}
