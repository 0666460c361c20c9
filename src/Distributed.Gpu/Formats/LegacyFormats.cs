using Distributed.Gpu.Kernels;
using ILGPU;

namespace Distributed.Gpu.Formats;

/// <inheritdoc cref="Core.Quantization.Q4_0"/>
public readonly struct Q4_0Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 32;

    /// <inheritdoc/>
    public int BlockBytes => 18;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i) =>
        HalfBits.Load(bytes, block) * (((bytes[block + 2 + (i & 15)] >> (i >> 4 << 2)) & 15) - 8);
}

/// <inheritdoc cref="Core.Quantization.Q4_1"/>
public readonly struct Q4_1Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 32;

    /// <inheritdoc/>
    public int BlockBytes => 20;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i) =>
        Fused.MultiplyAdd(
            HalfBits.Load(bytes, block), (bytes[block + 4 + (i & 15)] >> (i >> 4 << 2)) & 15, HalfBits.Load(bytes, block + 2));
}

/// <inheritdoc cref="Core.Quantization.Q5_0"/>
public readonly struct Q5_0Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 32;

    /// <inheritdoc/>
    public int BlockBytes => 22;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var low = (bytes[block + 6 + (i & 15)] >> (i >> 4 << 2)) & 15;
        var fifth = (bytes[block + 2 + (i >> 3)] >> (i & 7)) & 1;
        return HalfBits.Load(bytes, block) * ((low | (fifth << 4)) - 16);
    }
}

/// <inheritdoc cref="Core.Quantization.Q5_1"/>
public readonly struct Q5_1Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 32;

    /// <inheritdoc/>
    public int BlockBytes => 24;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var low = (bytes[block + 8 + (i & 15)] >> (i >> 4 << 2)) & 15;
        var fifth = (bytes[block + 4 + (i >> 3)] >> (i & 7)) & 1;
        return Fused.MultiplyAdd(HalfBits.Load(bytes, block), low | (fifth << 4), HalfBits.Load(bytes, block + 2));
    }
}

/// <inheritdoc cref="Core.Quantization.Q8_0"/>
public readonly struct Q8_0Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 32;

    /// <inheritdoc/>
    public int BlockBytes => 34;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i) =>
        HalfBits.Load(bytes, block) * (sbyte)bytes[block + 2 + i];
}

/// <inheritdoc cref="Core.Quantization.Q1_0"/>
public readonly struct Q1_0Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 128;

    /// <inheritdoc/>
    public int BlockBytes => 18;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var scale = HalfBits.Load(bytes, block);
        return ((bytes[block + 2 + (i >> 3)] >> (i & 7)) & 1) == 0 ? -scale : scale;
    }
}

/// <inheritdoc cref="Core.Quantization.Q2_0"/>
public readonly struct Q2_0Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 64;

    /// <inheritdoc/>
    public int BlockBytes => 18;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i) =>
        HalfBits.Load(bytes, block) * (((bytes[block + 2 + (i >> 2)] >> ((i & 3) << 1)) & 3) - 1);
}
