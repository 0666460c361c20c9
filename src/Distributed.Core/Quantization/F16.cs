using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>IEEE half precision.</summary>
public static class F16
{
    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("F16", 1, 1, 2, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        var halves = MemoryMarshal.Cast<byte, Half>(blocks);
        for (var i = 0; i < halves.Length; i++)
            values[i] = (float)halves[i];
    }

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        var halves = MemoryMarshal.Cast<byte, Half>(blocks);
        for (var i = 0; i < values.Length; i++)
            halves[i] = Rounding.ToHalf(values[i]);
    }
}
