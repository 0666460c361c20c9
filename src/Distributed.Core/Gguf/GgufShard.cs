using System.Numerics;
using Distributed.Core.Quantization;

namespace Distributed.Core.Gguf;

/// <summary>One file of a GGUF, mapped, with its tensors checked to lie inside it.</summary>
internal sealed unsafe class GgufShard : IDisposable
{
    private const uint DefaultAlignment = 32;
    private const int MaxErrors = 20;

    private readonly MappedFile _file;

    private GgufShard(MappedFile file)
    {
        _file = file;
        Header = GgufHeader.Read(file);
        Alignment = ReadAlignment(Header.Metadata);
        Tensors = PlaceTensors();
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

    private List<Tensor> PlaceTensors()
    {
        var errors = new List<InputError>();
        var tensors = new List<Tensor>();
        var unread = new Dictionary<uint, int>();
        var start = (Header.Length + Alignment - 1) / Alignment * Alignment;
        foreach (var info in Header.Tensors)
        {
            if (QuantTypes.Find(info.TypeId) is not { } type)
            {
                unread[info.TypeId] = unread.GetValueOrDefault(info.TypeId) + 1;
                if (unread[info.TypeId] == 1)
                    Fail(info.Name, QuantTypes.Describe(info.TypeId), QuantTypes.NotRead);
            }
            else if (Size(info, type, out var value, out var rule) is not { } bytes)
                Fail(info.Name, value, rule);
            else if (info.Offset % Alignment != 0)
                Fail(info.Name, $"offset {info.Offset}", $"must be a multiple of the alignment, {Alignment}");
            else if (start > _file.Length || info.Offset > (ulong)(_file.Length - start) || (ulong)bytes > (ulong)(_file.Length - start) - info.Offset)
                Fail(info.Name, $"{bytes} bytes at offset {(UInt128)start + info.Offset}", $"must end inside the file, which has {_file.Length} bytes");
            else
                tensors.Add(new Tensor(info.Name, type, Array.ConvertAll(info.Dimensions, d => (long)d), _file.Data + start + info.Offset, _file));
        }

        CheckNamesAndOverlaps(tensors, Fail);
        return errors.Count == 0 ? tensors : throw new InvalidInputException(errors);

        void Fail(string key, string? value, string rule)
        {
            if (errors.Count < MaxErrors)
                errors.Add(new InputError(key, value, rule, Path));
        }
    }

    // The bytes of a tensor; null with what is wrong.
    private static long? Size(GgufTensorInfo info, QuantType type, out string value, out string rule)
    {
        value = $"[{string.Join(", ", info.Dimensions)}]";
        rule = "must have no dimension that is 0";
        if (info.Dimensions.Contains(0UL))
            return null;
        var columns = info.Dimensions[0];
        rule = $"{type} needs rows of a multiple of {type.BlockLength} values";
        if (columns % (ulong)type.BlockLength != 0)
            return null;
        rule = "must have rows of at most 2147483647 bytes";
        var bytes = (UInt128)(columns / (ulong)type.BlockLength) * (ulong)type.BlockBytes;
        if (bytes > int.MaxValue)
            return null;
        rule = "must have less than 2^63 bytes";
        foreach (var dimension in info.Dimensions.AsSpan(1))
        {
            bytes *= dimension;
            if (bytes > long.MaxValue)
                return null;
        }

        return (long)bytes;
    }

    private void CheckNamesAndOverlaps(List<Tensor> tensors, Action<string, string?, string> fail)
    {
        var names = new HashSet<string>();
        foreach (var tensor in tensors)
            if (!names.Add(tensor.Name))
                fail(tensor.Name, "there twice", "must be there once");

        var sorted = tensors.OrderBy(tensor => (nint)tensor.Data).ToArray();
        for (var i = 1; i < sorted.Length; i++)
            if (sorted[i - 1].Data + sorted[i - 1].Bytes > sorted[i].Data)
                fail(sorted[i].Name, $"offset {sorted[i].Data - _file.Data}", $"must lie behind the bytes of {sorted[i - 1].Name}");
    }
}
