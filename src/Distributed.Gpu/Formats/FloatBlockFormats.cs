using Distributed.Gpu.Kernels;
using ILGPU;

namespace Distributed.Gpu.Formats;

/// <inheritdoc cref="Core.Quantization.IQ4_NL"/>
public readonly struct IQ4_NLFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 32;

    /// <inheritdoc/>
    public int BlockBytes => 18;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i) =>
        HalfBits.Load(bytes, block) * books[DeviceTables.IQ4_NL + ((bytes[block + 2 + (i & 15)] >> (i >> 4 << 2)) & 15)];
}

/// <inheritdoc cref="Core.Quantization.IQ4_XS"/>
public readonly struct IQ4_XSFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 136;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var group = i >> 5;
        int upper = bytes[block + 2 + (group >> 2)];
        var scale = ((bytes[block + 4 + (group >> 1)] >> ((group & 1) << 2)) & 15) | (((upper >> ((group & 3) << 1)) & 3) << 4);
        var number = (bytes[block + 8 + (group << 4) + (i & 15)] >> ((i >> 4 & 1) << 2)) & 15;
        return HalfBits.Load(bytes, block) * (scale - 32) * books[DeviceTables.IQ4_NL + number];
    }
}

/// <inheritdoc cref="Core.Quantization.MXFP4"/>
public readonly struct MXFP4Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 32;

    /// <inheritdoc/>
    public int BlockBytes => 17;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        // 2^(exponent − 128) in two factors: either may be subnormal.
        var exponent = bytes[block] - 128;
        var half = exponent >> 1;
        return DeviceMath.PowerOfTwo(half) * DeviceMath.PowerOfTwo(exponent - half)
            * books[DeviceTables.MXFP4 + ((bytes[block + 1 + (i & 15)] >> (i >> 4 << 2)) & 15)];
    }
}

/// <inheritdoc cref="Core.Quantization.NVFP4"/>
public readonly struct NVFP4Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 64;

    /// <inheritdoc/>
    public int BlockBytes => 36;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        int bits = bytes[block + (i >> 4)];
        var (exponent, mantissa) = ((bits >> 3) & 15, bits & 7);
        var scale = exponent == 0
            ? mantissa * DeviceMath.PowerOfTwo(-10)
            : (8 + mantissa) * DeviceMath.PowerOfTwo(exponent - 11);
        if (bits == 0x7F)
            scale = 0;
        var number = (bytes[block + 4 + (i >> 4 << 3) + (i & 7)] >> ((i >> 3 & 1) << 2)) & 15;
        return scale * books[DeviceTables.MXFP4 + number];
    }
}

/// <inheritdoc cref="Core.Quantization.TQ1_0"/>
public readonly struct TQ1_0Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 54;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        // Runs of 32, 16 and 4 bytes; place k × n + i of a run is digit k of its byte i.
        int at, digit;
        if (i < 160)
            (at, digit) = (i & 31, i >> 5);
        else if (i < 240)
            (at, digit) = (32 + (i & 15), (i - 160) >> 4);
        else
            (at, digit) = (48 + (i & 3), (i - 240) >> 2);
        int fraction = bytes[block + at];
        for (var k = 0; k < digit; k++)
            fraction = (fraction * 3) & 255;
        return HalfBits.Load(bytes, block + 52) * ((fraction * 3 >> 8) - 1);
    }
}

/// <inheritdoc cref="Core.Quantization.TQ2_0"/>
public readonly struct TQ2_0Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 66;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i) =>
        HalfBits.Load(bytes, block + 64) * (((bytes[block + (i >> 7 << 5) + (i & 31)] >> ((i >> 5 & 3) << 1)) & 3) - 1);
}
