using System.Runtime.CompilerServices;
using System.Text;

namespace Distributed.Core.Gguf;

/// <summary>
/// A cursor over the header of a mapped GGUF file. Every length is checked against the end of the file before it is used, so
/// nothing the file says makes it read outside or allocate more than the file has.
/// </summary>
internal sealed unsafe class GgufReader(MappedFile file)
{
    /// <summary>
    /// The longest header that is read, in bytes. The largest vocabularies take a few megabytes; the limit bounds the time that a
    /// made-up header of many gigabytes could cost.
    /// </summary>
    public const long MaxHeaderBytes = 64L << 20;

    private readonly long _end = Math.Min(file.Length, MaxHeaderBytes);

    /// <summary>The file under the cursor.</summary>
    public MappedFile File => file;

    /// <summary>Where the next value begins.</summary>
    public long Offset { get; private set; }

    /// <summary>A little-endian number.</summary>
    /// <param name="what">The key of the error when the file ends before it.</param>
    public T Read<T>(string what) where T : unmanaged
    {
        var start = Skip(what, 1, sizeof(T));
        return Unsafe.ReadUnaligned<T>(file.Data + start);
    }

    /// <summary>A name: a string of 1 to <paramref name="maxBytes"/> bytes that a terminal can print.</summary>
    public string ReadName(string what, int maxBytes)
    {
        var start = SkipStrings(what) + sizeof(ulong);
        if (Offset - start < 1 || Offset - start > maxBytes)
            throw Error(what, $"a string of {Offset - start} bytes at offset {start}", $"must have 1 to {maxBytes} bytes");
        var name = Encoding.UTF8.GetString(file.Span(start, (int)(Offset - start)));
        return HasControl(name) ? throw Error(what, name, "must have no control characters") : name;
    }

    /// <summary>Passes over strings that follow one another; gives the offset of the first: of its length, then come its bytes.</summary>
    public long SkipStrings(string what, ulong count = 1)
    {
        var start = Offset;
        var (data, offset) = ((nint)file.Data, start);
        for (ulong i = 0; i < count; i++)
        {
            if (_end - offset < sizeof(ulong))
                throw Error(what, $"a string at offset {offset}", MustEnd);
            var length = Unsafe.ReadUnaligned<ulong>((byte*)data + offset);
            offset += sizeof(ulong);
            if (length > (ulong)(_end - offset))
                throw Error(what, $"a string of {length} bytes at offset {offset}", MustEnd);
            offset += (long)length;
        }

        Offset = offset;
        return start;
    }

    /// <summary>Passes over <paramref name="count"/> values of <paramref name="size"/> bytes; gives the offset of the first.</summary>
    public long Skip(string what, ulong count, int size)
    {
        if (count > (ulong)(_end - Offset) / (ulong)size)
            throw Error(what, $"{count} × {size} bytes at offset {Offset}", MustEnd);
        var start = Offset;
        Offset += (long)count * size;
        return start;
    }

    /// <summary>An error of this file.</summary>
    public InvalidInputException Error(string key, string? value, string rule) => new(key, value, rule, file.Path);

    private static bool HasControl(string text)
    {
        foreach (var character in text)
            if (char.IsControl(character))
                return true;
        return false;
    }

    private string MustEnd => file.Length > MaxHeaderBytes
        ? $"must end within the first {MaxHeaderBytes} bytes, the longest header that is read"
        : $"must end inside the file, which has {file.Length} bytes";
}
