using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values in eight groups of 32. A block has two half-precision factors (one for scales, one for minimums), twelve
/// bytes with eight six-bit scales and minimums (<see cref="SixBitScales"/>), and 128 bytes of four-bit numbers: each run of
/// 32 bytes holds one group in its lower halves and the next in its upper halves.
/// Value = factor × scale × number − minimum factor × minimum.
/// </summary>
public static class Q4_K
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 144;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q4_K", 12, BlockLength, BlockBytes, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var factor = (float)MemoryMarshal.Read<Half>(blocks);
            var minFactor = (float)MemoryMarshal.Read<Half>(blocks[2..]);
            var numbers = blocks[16..];
            for (var group = 0; group < 8; group++)
            {
                var (scale, min) = SixBitScales.Read(blocks.Slice(4, SixBitScales.Bytes), group);
                var (d, m) = (factor * scale, minFactor * min);
                for (var i = 0; i < 32; i++)
                    values[(group * 32) + i] = (d * ((numbers[(group / 2 * 32) + i] >> (group % 2 * 4)) & 15)) - m;
            }
        }
    }

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        Span<int> numbers = stackalloc int[BlockLength];
        for (; values.Length >= BlockLength; values = values[BlockLength..], blocks = blocks[BlockBytes..])
        {
            SixBitScaleSearch.Quantize(values[..BlockLength], 15, blocks[..SixBitScaleSearch.HeaderBytes], numbers);
            for (var pair = 0; pair < 4; pair++)
                for (var i = 0; i < 32; i++)
                    blocks[16 + (pair * 32) + i] = (byte)(numbers[(pair * 64) + i] | (numbers[(pair * 64) + 32 + i] << 4));
        }
    }
}
