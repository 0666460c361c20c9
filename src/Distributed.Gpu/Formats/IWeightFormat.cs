using ILGPU;

namespace Distributed.Gpu.Formats;

/// <summary>
/// How a device reads one format of weights: the twin of a row of <see cref="Core.Quantization.QuantTypes"/>, written for kernels, which
/// know no spans and no virtual calls. Implemented by structs without fields.
/// </summary>
public interface IWeightFormat
{
    /// <summary>Values per block.</summary>
    int BlockLength { get; }

    /// <summary>Bytes per block.</summary>
    int BlockBytes { get; }

    /// <summary>One value, the same bits as the host's conversion gives.</summary>
    /// <param name="bytes">All weights, or a part that begins with a block.</param>
    /// <param name="books">The tables of <see cref="DeviceTables"/>.</param>
    /// <param name="block">The first byte of the value's block.</param>
    /// <param name="i">The value's place in the block.</param>
    float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i);
}
