using Distributed.Gpu.Kernels;
using ILGPU;

namespace Distributed.Gpu.Formats;

/// <inheritdoc cref="Core.Quantization.Q2_K"/>
public readonly struct Q2_KFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 84;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var number = (bytes[block + 16 + (i >> 7 << 5) + (i & 31)] >> ((i >> 5 & 3) << 1)) & 3;
        int scales = bytes[block + (i >> 4)];
        return Fused.MultiplyAdd(
            HalfBits.Load(bytes, block + 80) * (scales & 15), number, -(HalfBits.Load(bytes, block + 82) * (scales >> 4)));
    }
}

/// <inheritdoc cref="Core.Quantization.Q3_K"/>
public readonly struct Q3_KFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 110;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var low = (bytes[block + 32 + (i >> 7 << 5) + (i & 31)] >> ((i >> 5 & 3) << 1)) & 3;
        var third = (bytes[block + (i & 31)] >> (i >> 5)) & 1;
        var group = i >> 4;
        var scale = ((bytes[block + 96 + (group & 7)] >> (group >> 3 << 2)) & 15)
            | (((bytes[block + 104 + (group & 3)] >> (group >> 2 << 1)) & 3) << 4);
        return HalfBits.Load(bytes, block + 108) * (scale - 32) * (low + (third * 4) - 4);
    }
}

/// <inheritdoc cref="Core.Quantization.Q4_K"/>
public readonly struct Q4_KFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 144;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var group = i >> 5;
        var number = (bytes[block + 16 + (i >> 6 << 5) + (i & 31)] >> ((group & 1) << 2)) & 15;
        return Fused.MultiplyAdd(
            HalfBits.Load(bytes, block) * DeviceSixBitScales.Scale(bytes, block + 4, group), number,
            -(HalfBits.Load(bytes, block + 2) * DeviceSixBitScales.Min(bytes, block + 4, group)));
    }
}

/// <inheritdoc cref="Core.Quantization.Q5_K"/>
public readonly struct Q5_KFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 176;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var group = i >> 5;
        var number = ((bytes[block + 48 + (i >> 6 << 5) + (i & 31)] >> ((group & 1) << 2)) & 15)
            | (((bytes[block + 16 + (i & 31)] >> group) & 1) << 4);
        return Fused.MultiplyAdd(
            HalfBits.Load(bytes, block) * DeviceSixBitScales.Scale(bytes, block + 4, group), number,
            -(HalfBits.Load(bytes, block + 2) * DeviceSixBitScales.Min(bytes, block + 4, group)));
    }
}

/// <inheritdoc cref="Core.Quantization.Q6_K"/>
public readonly struct Q6_KFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 210;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var (half, quarter, column) = (i >> 7, (i >> 5) & 3, i & 31);
        var low = (bytes[block + (half << 6) + ((quarter & 1) << 5) + column] >> (quarter >> 1 << 2)) & 15;
        var high = (bytes[block + 128 + (half << 5) + column] >> (quarter << 1)) & 3;
        return HalfBits.Load(bytes, block + 208) * (sbyte)bytes[block + 192 + (i >> 4)] * ((low | (high << 4)) - 32);
    }
}

/// <inheritdoc cref="Core.Quantization.SixBitScales"/>
internal static class DeviceSixBitScales
{
    /// <summary>The scale of a group.</summary>
    public static int Scale(ArrayView<byte> bytes, long at, int group) => group < 4
        ? bytes[at + group] & 63
        : (bytes[at + group + 4] & 15) | (bytes[at + group - 4] >> 6 << 4);

    /// <summary>The minimum of a group.</summary>
    public static int Min(ArrayView<byte> bytes, long at, int group) => group < 4
        ? bytes[at + group + 4] & 63
        : (bytes[at + group + 4] >> 4) | (bytes[at + group] >> 6 << 4);
}
