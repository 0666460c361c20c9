using Distributed.Gpu.Kernels;
using ILGPU;

namespace Distributed.Gpu.Formats;

/// <inheritdoc cref="Core.Quantization.F32"/>
public readonly struct F32Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 1;

    /// <inheritdoc/>
    public int BlockBytes => sizeof(float);

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i) => bytes.Cast<float>()[block >> 2];
}

/// <inheritdoc cref="Core.Quantization.F16"/>
public readonly struct F16Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 1;

    /// <inheritdoc/>
    public int BlockBytes => sizeof(ushort);

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i) => HalfBits.Load(bytes, block);
}

/// <inheritdoc cref="Core.Quantization.BF16"/>
public readonly struct BF16Format : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 1;

    /// <inheritdoc/>
    public int BlockBytes => sizeof(ushort);

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i) =>
        Interop.IntAsFloat((uint)bytes.Cast<ushort>()[block >> 1] << 16);
}
