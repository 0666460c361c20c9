namespace Distributed.Core.Safetensors;

/// <summary>One safetensors file, memory-mapped, with its tensors checked to lie inside it, none over another.</summary>
internal sealed class SafetensorsFile : IDisposable
{
    private const int MaxErrors = 20;

    // Bytes per value of the types there are; the others of the format take less than a byte.
    private static readonly (string Name, int Bytes)[] Types =
    [
        ("BOOL", 1), ("U8", 1), ("I8", 1), ("F8_E5M2", 1), ("F8_E4M3", 1), ("F8_E8M0", 1), ("I16", 2), ("U16", 2), ("F16", 2), ("BF16", 2),
        ("I32", 4), ("U32", 4), ("F32", 4), ("F64", 8), ("I64", 8), ("U64", 8), ("C64", 8),
    ];

    private readonly MappedFile _file;
    private readonly int _headerBytes;

    private SafetensorsFile(MappedFile file)
    {
        _file = file;
        _headerBytes = SafetensorsHeader.ReadLength(file);
        Tensors = Place();
    }

    /// <summary>The file's path.</summary>
    public string Path => _file.Path;

    /// <summary>Bytes of the file.</summary>
    public long Length => _file.Length;

    /// <summary>The length and the JSON of the header.</summary>
    public ReadOnlySpan<byte> HeaderBytes => _file.Span(0, SafetensorsHeader.LengthBytes + _headerBytes);

    /// <summary>The tensors, in the order of their bytes.</summary>
    public IReadOnlyList<SafetensorsTensor> Tensors { get; }

    /// <summary>Maps a file and checks it.</summary>
    /// <exception cref="InvalidInputException">It cannot be read, or breaks a rule of the format.</exception>
    public static SafetensorsFile Open(string path)
    {
        var file = MappedFile.Open(path);
        try
        {
            return new SafetensorsFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private List<SafetensorsTensor> Place()
    {
        var errors = new List<InputError>();
        var tensors = new List<SafetensorsTensor>();
        var start = SafetensorsHeader.LengthBytes + _headerBytes;
        var length = _file.Length - start;
        foreach (var (name, entry) in SafetensorsHeader.Read(_file, _headerBytes))
        {
            if (FindFault(entry, length) is not var (value, rule))
                tensors.Add(new SafetensorsTensor(name, entry.DType, entry.Shape, start + entry.Begin, entry.End - entry.Begin, _file));
            else if (errors.Count < MaxErrors)
                errors.Add(new InputError(name, value, rule, Path));
        }

        tensors.Sort((a, b) => (a.Offset, a.Bytes).CompareTo((b.Offset, b.Bytes)));
        foreach (var (first, second) in tensors.Zip(tensors.Skip(1)))
            if (first.Offset + first.Bytes > second.Offset && errors.Count < MaxErrors)
                errors.Add(new InputError(second.Name, $"at offset {second.Offset}", $"must lie behind the bytes of {first.Name}", Path));
        return errors.Count == 0 ? tensors : throw new InvalidInputException(errors);
    }

    private static (string Value, string Rule)? FindFault(SafetensorsEntry entry, long length)
    {
        if (entry.Begin > entry.End || entry.End > length)
            return ($"bytes {entry.Begin} to {entry.End}", $"must lie inside the file, which has {length} behind its header");
        if (Array.Find(Types, type => type.Name == entry.DType) is not (not null, var size))
            return (entry.DType, $"must be one of {string.Join(", ", Types.Select(type => type.Name))}");
        var bytes = (UInt128)size;
        foreach (var dimension in entry.Shape)
        {
            bytes *= (ulong)dimension;
            if (bytes > long.MaxValue)
                break;
        }
        return bytes == (UInt128)(entry.End - entry.Begin)
            ? null
            : ($"{entry.End - entry.Begin} bytes", $"must have as many as {entry.DType} [{string.Join(", ", entry.Shape)}] takes, {bytes}");
    }
}
