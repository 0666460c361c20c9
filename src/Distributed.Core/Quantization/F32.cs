using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>IEEE single precision, as it is.</summary>
public static class F32
{
    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("F32", 0, 1, 4, Dequantize, Quantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values) =>
        MemoryMarshal.Cast<byte, float>(blocks).CopyTo(values);

    private static void Quantize(ReadOnlySpan<float> values, Span<byte> blocks) => MemoryMarshal.AsBytes(values).CopyTo(blocks);
}
