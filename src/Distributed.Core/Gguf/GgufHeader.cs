using System.Buffers.Binary;

namespace Distributed.Core.Gguf;

/// <summary>What stands before the tensors' bytes in one GGUF file.</summary>
/// <param name="Version">2 or 3, which are the same but for big-endian files.</param>
/// <param name="Metadata">The key-value pairs.</param>
/// <param name="Tensors">The tensors as the file describes them, not yet checked.</param>
/// <param name="Length">Bytes up to the end of the last tensor's description.</param>
internal sealed record GgufHeader(uint Version, GgufMetadata Metadata, IReadOnlyList<GgufTensorInfo> Tensors, long Length)
{
    /// <summary>The most key-value pairs; far above any real file.</summary>
    public const int MaxKeys = 1 << 16;

    /// <summary>The most tensors in one file; far above any real file.</summary>
    public const int MaxTensors = 1 << 16;

    /// <summary>The longest key. The format allows 65535 bytes, but what is no key should not fill a screen of errors.</summary>
    public const int MaxKeyBytes = 1024;

    /// <summary>The longest name of a tensor, as the format sets it.</summary>
    public const int MaxTensorNameBytes = 64;

    private const uint Magic = 0x46554747; // GGUF

    /// <summary>Reads the header of a file.</summary>
    /// <exception cref="InvalidInputException">It is no GGUF, ends too early, or breaks a rule of the format.</exception>
    public static GgufHeader Read(MappedFile file)
    {
        var reader = new GgufReader(file);
        var magic = reader.Read<uint>("magic");
        if (magic != Magic)
            throw reader.Error("magic", $"0x{BinaryPrimitives.ReverseEndianness(magic):x8}", "must be 0x47475546, GGUF in ASCII");
        var version = reader.Read<uint>("version");
        if (version is not (2 or 3))
            throw reader.Error("version", $"{version}", BinaryPrimitives.ReverseEndianness(version) is >= 1 and <= 3
                ? "must be 2 or 3, little-endian; this file is big-endian"
                : "must be 2 or 3");
        var tensorCount = ReadCount(reader, "tensor count", MaxTensors);
        var keyCount = ReadCount(reader, "metadata count", MaxKeys);
        var metadata = ReadMetadata(reader, keyCount);
        var tensors = new List<GgufTensorInfo>();
        for (var i = 0; i < tensorCount; i++)
            tensors.Add(GgufTensorInfo.Read(reader));
        return new GgufHeader(version, metadata, tensors, reader.Offset);
    }

    private static int ReadCount(GgufReader reader, string what, int max)
    {
        var count = reader.Read<ulong>(what);
        return count <= (ulong)max ? (int)count : throw reader.Error(what, $"{count}", $"must be at most {max}");
    }

    private static GgufMetadata ReadMetadata(GgufReader reader, int count)
    {
        var values = new OrderedDictionary<string, GgufValue>();
        for (var i = 0; i < count; i++)
        {
            var start = reader.Offset;
            var key = reader.ReadName("metadata key", MaxKeyBytes);
            if (!values.TryAdd(key, ReadValue(reader, key)))
                throw reader.Error(key, $"there again at offset {start}", "must be there once");
        }

        return new GgufMetadata(reader.File.Path, values);
    }

    private static GgufValue ReadValue(GgufReader reader, string key)
    {
        var type = ReadType(reader, key);
        if (type != GgufValueType.Array)
            return Skip(reader, key, type, null);

        var elementType = ReadType(reader, key);
        if (elementType == GgufValueType.Array)
            throw reader.Error(key, "an array of arrays", "must be an array of single values");
        return Skip(reader, key, elementType, reader.Read<ulong>(key));
    }

    private static GgufValueType ReadType(GgufReader reader, string key)
    {
        var type = reader.Read<uint>(key);
        return type <= (uint)GgufValueType.Float64 ? (GgufValueType)type
            : throw reader.Error(key, $"value type {type} at offset {reader.Offset - sizeof(uint)}", "must be one of the types 0 to 12");
    }

    // Passes over a single value (no count) or the elements of an array. An element takes a byte or more of the header, so a count
    // that passes is an int.
    private static GgufValue Skip(GgufReader reader, string key, GgufValueType type, ulong? count)
    {
        var start = reader.Offset;
        if (type == GgufValueType.String)
            reader.SkipStrings(key, count ?? 1);
        else
            reader.Skip(key, count ?? 1, type.Size());

        var value = new GgufValue(reader.File, type, (int?)count, start, (int)(reader.Offset - start));
        if (type == GgufValueType.Bool && value.Bytes.IndexOfAnyExcept((byte)0, (byte)1) is >= 0 and var wrong)
            throw reader.Error(key, $"bool {value.Bytes[wrong]} at offset {start + wrong}", "must be 0 or 1");
        return value;
    }
}
