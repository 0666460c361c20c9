namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 32 values (OCP Microscaling Formats 1.0): a byte with an exponent, then 16 bytes of two four-bit floats of two exponent
/// bits and one mantissa bit, in the order of <see cref="Q4_0"/>. Value = 2^(exponent − 127) × float.
/// </summary>
public static class MXFP4
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 32;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 17;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("MXFP4", 39, BlockLength, BlockBytes, Dequantize);

    /// <summary>Twice the floats that the numbers stand for, so that they are whole.</summary>
    internal static ReadOnlySpan<sbyte> Levels => [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = MathF.ScaleB(1, blocks[0] - 128);
            for (var i = 0; i < 16; i++)
            {
                values[i] = scale * Levels[blocks[1 + i] & 15];
                values[i + 16] = scale * Levels[blocks[1 + i] >> 4];
            }
        }
    }
}
