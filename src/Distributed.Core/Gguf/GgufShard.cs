using System.Numerics;

namespace Distributed.Core.Gguf;

/// <summary>One file of a GGUF, mapped, with its tensors checked to lie inside it.</summary>
internal sealed class GgufShard : IDisposable
{
    private const uint DefaultAlignment = 32;

    private readonly MappedFile _file;

    private GgufShard(MappedFile file)
    {
        _file = file;
        Header = GgufHeader.Read(file);
        Alignment = ReadAlignment(Header.Metadata);
        Tensors = GgufTensors.Place(file, Header, Alignment);
    }

    /// <summary>The file's path.</summary>
    public string Path => _file.Path;

    /// <summary>Bytes of the file.</summary>
    public long Length => _file.Length;

    /// <summary>The file's header.</summary>
    public GgufHeader Header { get; }

    /// <summary>What each tensor's offset is a multiple of, in bytes.</summary>
    public uint Alignment { get; }

    /// <summary>The tensors, in the header's order.</summary>
    public IReadOnlyList<Tensor> Tensors { get; }

    /// <summary>Maps a file and checks it.</summary>
    /// <exception cref="InvalidInputException">It cannot be read, or breaks a rule of the format.</exception>
    public static GgufShard Open(string path)
    {
        var file = MappedFile.Open(path);
        try
        {
            return new GgufShard(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The bytes of the header.</summary>
    public ReadOnlySpan<byte> HeaderBytes => _file.Span(0, (int)Header.Length);

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static uint ReadAlignment(GgufMetadata metadata)
    {
        if (!metadata.TryGetUInt32("general.alignment", out var alignment))
            return DefaultAlignment;
        return alignment >= 8 && BitOperations.IsPow2(alignment)
            ? alignment
            : throw new InvalidInputException("general.alignment", $"{alignment}", "must be a power of two, 8 or more", metadata.Source);
    }
}
