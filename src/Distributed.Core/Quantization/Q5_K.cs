using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// <see cref="Q4_K"/> with a fifth bit: 32 bytes behind the scales hold in bit g of byte i the uppermost bit of value i of group g.
/// </summary>
public static class Q5_K
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 176;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q5_K", 13, BlockLength, BlockBytes, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var factor = (float)MemoryMarshal.Read<Half>(blocks);
            var minFactor = (float)MemoryMarshal.Read<Half>(blocks[2..]);
            var fifth = blocks[16..48];
            var numbers = blocks[48..];
            for (var group = 0; group < 8; group++)
            {
                var (scale, min) = SixBitScales.Read(blocks.Slice(4, SixBitScales.Bytes), group);
                var (d, m) = (factor * scale, minFactor * min);
                for (var i = 0; i < 32; i++)
                {
                    var low = (numbers[(group / 2 * 32) + i] >> (group % 2 * 4)) & 15;
                    values[(group * 32) + i] = (d * (low | (((fifth[i] >> group) & 1) << 4))) - m;
                }
            }
        }
    }

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        Span<int> numbers = stackalloc int[BlockLength];
        for (; values.Length >= BlockLength; values = values[BlockLength..], blocks = blocks[BlockBytes..])
        {
            SixBitScaleSearch.Quantize(values[..BlockLength], 31, blocks[..SixBitScaleSearch.HeaderBytes], numbers);
            for (var i = 0; i < 32; i++)
            {
                var fifth = 0;
                for (var group = 0; group < 8; group++)
                    fifth |= numbers[(group * 32) + i] >> 4 << group;
                blocks[16 + i] = (byte)fifth;
                for (var pair = 0; pair < 4; pair++)
                    blocks[48 + (pair * 32) + i] = (byte)((numbers[(pair * 64) + i] & 15) | ((numbers[(pair * 64) + 32 + i] & 15) << 4));
            }
        }
    }
}
