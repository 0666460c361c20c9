namespace Distributed.Core.Quantization;

/// <summary>Turns whole blocks into float32 values.</summary>
/// <param name="blocks">A whole number of blocks.</param>
/// <param name="values">Room for blocks × <see cref="QuantType.BlockLength"/> values.</param>
public delegate void DequantizeBlocks(ReadOnlySpan<byte> blocks, Span<float> values);

/// <summary>Turns float32 values into whole blocks.</summary>
/// <param name="values">Finite values, a multiple of <see cref="QuantType.BlockLength"/>.</param>
/// <param name="blocks">Room for their blocks.</param>
public delegate void QuantizeBlocks(ReadOnlySpan<float> values, Span<byte> blocks);

/// <summary>
/// A format of numbers in a model file: how many values share a block, how many bytes a block takes, and what they mean.
/// One file beside this one and one row in <see cref="QuantTypes"/> per format.
/// </summary>
/// <param name="Name">The name the field uses, e.g. <c>Q4_K</c>.</param>
/// <param name="GgmlId">The number that stands for the type in a GGUF tensor header.</param>
/// <param name="BlockLength">Values per block.</param>
/// <param name="BlockBytes">Bytes per block.</param>
/// <param name="Dequantize">The scalar conversion to float32, which defines the format.</param>
/// <param name="Quantize">
/// The way back: blocks whose values come near to the given ones, by least squares. Null where this build only reads the format.
/// </param>
public sealed record QuantType(
    string Name, int GgmlId, int BlockLength, int BlockBytes, DequantizeBlocks Dequantize, QuantizeBlocks? Quantize = null)
{
    /// <summary>Bytes of one row of <paramref name="columns"/> values, a multiple of <see cref="BlockLength"/>.</summary>
    public long RowBytes(long columns) => columns / BlockLength * BlockBytes;

    /// <inheritdoc/>
    public override string ToString() => Name;
}
