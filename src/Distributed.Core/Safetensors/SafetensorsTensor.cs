using Distributed.Core.Quantization;

namespace Distributed.Core.Safetensors;

/// <summary>A tensor where it lies in a mapped safetensors file, checked to lie inside of it.</summary>
/// <param name="Name">The name in the file.</param>
/// <param name="DType">The type of its values, as the file writes it: <c>BF16</c>.</param>
/// <param name="Shape">The dimensions, a row's length last; empty for a single value.</param>
/// <param name="Offset">Its first byte, counted from the file's.</param>
/// <param name="Bytes">Its bytes.</param>
/// <param name="File">The file.</param>
internal sealed unsafe record SafetensorsTensor(
    string Name, string DType, IReadOnlyList<long> Shape, long Offset, long Bytes, MappedFile File)
{
    /// <summary>The types that weights may have; this project calls them by the same names.</summary>
    public static IReadOnlyList<string> WeightTypes { get; } = [F32.Type.Name, F16.Type.Name, BF16.Type.Name];

    /// <summary>The type of weights, one of <see cref="WeightTypes"/>.</summary>
    public QuantType Type => QuantTypes.ByName(DType);

    /// <summary>Where it lies.</summary>
    public FileRange Range => new(File.Path, Offset, Bytes);

    /// <summary>The first byte.</summary>
    public byte* Data => File.Data + Offset;

    /// <summary>All of its values, converted to float32 where they are another type.</summary>
    /// <param name="values">As many as the shape has; they are weights.</param>
    public void ReadFloats(Span<float> values) =>
        Type.Dequantize(new ReadOnlySpan<byte>(Data, checked((int)Bytes)), values);
}
