using System.IO.Hashing;
using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Cluster;

/// <summary>How weights travel: in chunks, each with a checksum.</summary>
public static class WeightChunks
{
    /// <summary>The bytes of a chunk; the last one of a tensor has what is left.</summary>
    public const int Bytes = 1 << 20;

    /// <summary>The most bytes that may be asked for at once.</summary>
    public const int MaxBytes = 4 << 20;

    /// <summary>Bytes of a checksum.</summary>
    public const int ChecksumBytes = 16;

    /// <summary>The checksum of some bytes: XXH128, big-endian.</summary>
    public static UInt128 Checksum(ReadOnlySpan<byte> bytes) => XxHash128.HashToUInt128(bytes);

    /// <summary>What a worker must know of a model's files to open them without their weights; null where it lies in no files.</summary>
    public static ModelOutline? OutlineOf(ModelSource source)
    {
        if (source.FileFormat is not { } format)
            return null;
        var outline = new ModelOutline
        {
            Format = format == ModelFormat.HuggingFace ? ModelOutline.Types.Format.HuggingFace : ModelOutline.Types.Format.Gguf,
        };
        outline.Parts.Add(source.Files.Select(file => new PartOutline { Length = file.Length, HeaderBytes = file.HeaderBytes }));
        return outline;
    }
}
