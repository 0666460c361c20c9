using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>The upper half of an IEEE single (brain float).</summary>
public static class BF16
{
    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("BF16", 30, 1, 2, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        var upper = MemoryMarshal.Cast<byte, ushort>(blocks);
        for (var i = 0; i < upper.Length; i++)
            values[i] = BitConverter.UInt32BitsToSingle((uint)upper[i] << 16);
    }
}
