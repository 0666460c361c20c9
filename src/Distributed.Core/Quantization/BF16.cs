using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>The upper half of an IEEE single (brain float).</summary>
public static class BF16
{
    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("BF16", 30, 1, 2, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        var upper = MemoryMarshal.Cast<byte, ushort>(blocks);
        for (var i = 0; i < upper.Length; i++)
            values[i] = BitConverter.UInt32BitsToSingle((uint)upper[i] << 16);
    }

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        var upper = MemoryMarshal.Cast<byte, ushort>(blocks);
        for (var i = 0; i < values.Length; i++)
        {
            // To the nearest, of two equally near ones to the even one. What would round to infinity stays the largest number.
            var bits = BitConverter.SingleToUInt32Bits(values[i]);
            var rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
            upper[i] = (ushort)((rounded & 0x7F80) == 0x7F80 ? (bits >> 16) : rounded);
        }
    }
}
