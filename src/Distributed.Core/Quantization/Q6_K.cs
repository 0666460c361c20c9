using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 values: 128 bytes with the lower four bits of each number, 64 bytes with the upper two, sixteen signed bytes of
/// scales (one for 16 values), and a half-precision factor. Within each half of 128 values, value 32q + i takes its lower bits
/// from byte 32 (q mod 2) + i (lower half for q &lt; 2) and its upper bits from bits 2q of byte i.
/// Value = factor × scale × (number − 32).
/// </summary>
public static class Q6_K
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 210;

    private const int Groups = 16;
    private const int GroupLength = 16;

    private static readonly Vector256<float> ScaleSteps = Vector256.Create(0f, 1, -1, 2, -2, 3, -3, 4);

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("Q6_K", 14, BlockLength, BlockBytes, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var lower = blocks[..128];
            var upper = blocks[128..192];
            var scales = blocks[192..208];
            var factor = (float)MemoryMarshal.Read<Half>(blocks[208..]);
            for (var i = 0; i < BlockLength; i++)
            {
                var (half, quarter, column) = (i / 128, i / 32 % 4, i % 32);
                var low = (lower[(half * 64) + (quarter % 2 * 32) + column] >> (quarter / 2 * 4)) & 15;
                var high = (upper[(half * 32) + column] >> (quarter * 2)) & 3;
                values[i] = factor * (sbyte)scales[i / 16] * ((low | (high << 4)) - 32);
            }
        }
    }

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        Span<int> numbers = stackalloc int[BlockLength];
        for (; values.Length >= BlockLength; values = values[BlockLength..], blocks = blocks[BlockBytes..])
        {
            Quantize(values[..BlockLength], blocks[192..BlockBytes], numbers);
            for (var half = 0; half < 2; half++)
            {
                for (var i = 0; i < 32; i++)
                {
                    var quarters = numbers.Slice((half * 128) + i, 97);
                    var (first, second, third, fourth) = (quarters[0] + 32, quarters[32] + 32, quarters[64] + 32, quarters[96] + 32);
                    blocks[(half * 64) + i] = (byte)((first & 15) | ((third & 15) << 4));
                    blocks[(half * 64) + 32 + i] = (byte)((second & 15) | ((fourth & 15) << 4));
                    blocks[128 + (half * 32) + i] = (byte)((first >> 4) | (second >> 4 << 2) | (third >> 4 << 4) | (fourth >> 4 << 6));
                }
            }
        }
    }

    // The scale of the largest magnitude is -128 times the factor: of either sign it uses the whole byte.
    private static void Quantize(ReadOnlySpan<float> values, Span<byte> scales, Span<int> numbers)
    {
        Span<float> wanted = stackalloc float[Groups];
        var extreme = 0f;
        for (var group = 0; group < Groups; group++)
        {
            wanted[group] = ScaleSearch.FindScale(values.Slice(group * GroupLength, GroupLength), -32, 31);
            if (MathF.Abs(wanted[group]) > MathF.Abs(extreme))
                extreme = wanted[group];
        }

        var factor = Rounding.WriteHalf(scales[Groups..], extreme / -128);
        for (var group = 0; group < Groups; group++)
        {
            var block = values.Slice(group * GroupLength, GroupLength);
            var nearest = factor == 0 ? 0 : MathF.Round(wanted[group] / factor);
            var candidates = Vector256.Clamp(
                Vector256.Create(nearest) + ScaleSteps, Vector256.Create(-128f), Vector256.Create(127f));
            var best = ScaleSearch.Lowest(ScaleSearch.Errors(block, candidates * factor, Vector256<float>.Zero, -32, 31));
            scales[group] = (byte)(sbyte)candidates[best];
            Rounding.ToNumbers(block, factor * candidates[best], 0, -32, 31, numbers.Slice(group * GroupLength, GroupLength));
        }
    }
}
