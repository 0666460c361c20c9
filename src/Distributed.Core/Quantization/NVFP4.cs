namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 64 values (NVIDIA 2025): four bytes, the scale of each 16 values as a float of four exponent bits and three mantissa bits
/// without a sign, then for each 16 values eight bytes of two four-bit floats: value i is the lower half of byte i, value i + 8 its upper
/// half. Value = scale × float.
/// </summary>
public static class NVFP4
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 64;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 36;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("NVFP4", 40, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            for (var i = 0; i < BlockLength; i++)
            {
                var number = (blocks[4 + (i / 16 * 8) + (i % 8)] >> (i / 8 % 2 * 4)) & 15;
                values[i] = Scale(blocks[i / 16]) * MXFP4.Levels[number];
            }
        }
    }

    // Half of it, since the levels are twice the floats. What would be no number counts as 0.
    private static float Scale(byte bits)
    {
        var (exponent, mantissa) = ((bits >> 3) & 15, bits & 7);
        if (bits == 0x7F)
            return 0;
        return exponent == 0 ? MathF.ScaleB(mantissa, -10) : MathF.ScaleB(8 + mantissa, exponent - 11);
    }
}
