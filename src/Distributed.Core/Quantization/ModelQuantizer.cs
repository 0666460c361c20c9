using Distributed.Core.Gguf;

namespace Distributed.Core.Quantization;

/// <summary>A tensor and the format it gets.</summary>
/// <param name="Source">The tensor as it is.</param>
/// <param name="Type">Its format in the new file.</param>
public sealed record QuantizedTensor(Tensor Source, QuantType Type)
{
    /// <summary>Values in it.</summary>
    public long Values => Source.Rows * Source.Columns;

    /// <summary>Its bytes in the new file.</summary>
    public long Bytes => Type.RowBytes(Source.Columns) * Source.Rows;

    /// <summary>Whether what was rounded to a quantised format before is rounded to another one.</summary>
    public bool IsRequantized => Source.Type != Type && Source.Type.BlockLength > 1 && Type.BlockLength > 1;
}

/// <summary>Writes a model as a GGUF file of another type: one file, whatever the model came in.</summary>
/// <param name="model">The model; it must stay open.</param>
/// <param name="metadata">Its metadata, which the new file gets; its file must stay open.</param>
/// <param name="target">The type.</param>
public sealed class ModelQuantizer(ModelFile model, GgufMetadata metadata, FileType target)
{
    // The version of the block formats that general.quantization_version names.
    private const uint QuantizationVersion = 2;

    // What is true of a set of files and not of the one that comes out.
    private static readonly string[] SplitKeys = ["split.no", "split.count", "split.tensors.count"];

    /// <summary>Every tensor with its new format, in the model's order.</summary>
    public IReadOnlyList<QuantizedTensor> Tensors { get; } = Plan(model, new TensorTypes(model, target));

    /// <summary>Writes the file. It takes some megabytes of memory per thread, however large the model.</summary>
    /// <param name="stream">Where to; one that knows its position.</param>
    /// <param name="threads">Threads that quantise.</param>
    /// <param name="progress">Told again and again how many bytes of the model are done; null for nobody.</param>
    /// <param name="cancellation">Gives up; what has been written is of no use.</param>
    /// <exception cref="InvalidInputException">A tensor to be converted has a value that is not finite.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public void Write(Stream stream, int threads, IProgress<long>? progress, CancellationToken cancellation)
    {
        var conversion = new TensorConversion(threads, progress, cancellation);
        var writer = new GgufWriter();
        writer.SetAll(metadata);
        foreach (var key in SplitKeys)
            writer.Remove(key);
        writer.Set("general.quantization_version", QuantizationVersion);
        writer.Set("general.file_type", (uint)target.Id);
        foreach (var (source, type) in Tensors)
            writer.Add(source.Name, type, source.Dimensions, output => conversion.Write(source, type, output));
        writer.Write(stream);
    }

    private static List<QuantizedTensor> Plan(ModelFile model, TensorTypes types) =>
        [.. model.Tensors.Values.Select(tensor => new QuantizedTensor(tensor, types.For(tensor)))];
}
