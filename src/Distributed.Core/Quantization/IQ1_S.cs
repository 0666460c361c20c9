using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: a half-precision scale; for each 8 values the lower byte of a vector's number in a <see cref="Codebook"/>; for
/// each 32 values 16 bits: the upper three bits of four numbers, a three-bit number s and the sign of a shift of 1/8.
/// Value = scale × (2 s + 1) × (vector ± 1/8).
/// </summary>
public static class IQ1_S
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 50;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("IQ1_S", 19, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks);
            for (var i = 0; i < BlockLength; i += 8)
            {
                int rest = MemoryMarshal.Read<ushort>(blocks[(34 + (i / 32 * 2))..]);
                var index = blocks[2 + (i / 8)] | (((rest >> (i / 8 % 4 * 3)) & 7) << 8);
                var partScale = scale * (1 + (2 * ((rest >> 12) & 7)));
                Codebook.IQ1.Write(index, partScale, 0, values[i..], shift: (rest & 0x8000) == 0 ? 0.125f : -0.125f);
            }
        }
    }
}
