using Distributed.Core.Gguf;
using Distributed.Core.HuggingFace;

namespace Distributed.Core;

/// <summary>The kinds of files a model may have.</summary>
public enum ModelFormat
{
    /// <summary>A GGUF file, or the shards of a set.</summary>
    Gguf,

    /// <summary><c>config.json</c> and safetensors files.</summary>
    HuggingFace,
}

/// <summary>One of a model's files.</summary>
/// <param name="Path">Where it lies.</param>
/// <param name="Length">Its bytes.</param>
/// <param name="HeaderBytes">The bytes at its beginning that say which tensors it has and where: all that opening it reads.</param>
public sealed record ModelPart(string Path, long Length, long HeaderBytes);

/// <summary>A run of bytes in one of a model's files: a stored tensor.</summary>
/// <param name="Path">The file, as <see cref="ModelPart.Path"/> has it.</param>
/// <param name="Offset">The first byte, counted from the file's.</param>
/// <param name="Bytes">How many.</param>
public readonly record struct FileRange(string Path, long Offset, long Bytes);

/// <summary>
/// A model's files in a folder of the project's own, under names of its own. They may have holes where nobody reads: a model opens
/// when the headers are there, and a stage loads when its tensors are.
/// </summary>
public static class ModelParts
{
    /// <summary>The most files of a model.</summary>
    public const int MaxFiles = 1 << 14;

    /// <summary>The longest header of a file that is read, in bytes; the whole of <c>config.json</c> counts as one.</summary>
    public const long MaxHeaderBytes = 256L << 20;

    /// <summary>The names of a model's files, in order.</summary>
    /// <param name="format">Their kind.</param>
    /// <param name="count">How many, at most <see cref="MaxFiles"/>; two at least of a folder from Hugging Face.</param>
    public static IReadOnlyList<string> Names(ModelFormat format, int count) => format switch
    {
        ModelFormat.HuggingFace => [HuggingFaceFolder.ConfigName, .. Enumerable.Range(1, count - 1).Select(i => $"{i:00000}.safetensors")],
        _ when count == 1 => ["model.gguf"],
        _ => [.. Enumerable.Range(0, count).Select(i => GgufSplit.ShardPath("model", i, count))],
    };

    /// <summary>Opens the files in a folder that have these <see cref="Names"/>.</summary>
    /// <exception cref="InvalidInputException">A file is missing, or its header is broken.</exception>
    public static ModelSource Open(ModelFormat format, string folder, int count)
    {
        string[] paths = [.. Names(format, count).Select(name => Path.Combine(folder, name))];
        return format == ModelFormat.HuggingFace ? HuggingFaceFolder.Open(folder, paths[1..]) : GgufFile.Open(paths[0]);
    }
}
