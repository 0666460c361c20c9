using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Distributed.Core.Gguf;

/// <summary>One metadata value where it lies in the mapped file. Its bytes were checked to lie inside the header.</summary>
/// <param name="File">The file.</param>
/// <param name="Type">The type; of the elements for an array.</param>
/// <param name="Count">Elements of an array; null for a single value.</param>
/// <param name="Offset">Where it begins: a string with its length, an array with its first element.</param>
/// <param name="Length">Bytes from there on.</param>
internal sealed record GgufValue(MappedFile File, GgufValueType Type, int? Count, long Offset, int Length)
{
    /// <summary>Its bytes as they are.</summary>
    public ReadOnlySpan<byte> Bytes => File.Span(Offset, Length);

    /// <summary>An integer of any type, or an element of an array of them; null when it is none. A decimal holds all of 64 bits.</summary>
    public decimal? Integer(int index = 0) => Type switch
    {
        GgufValueType.UInt8 => Read<byte>(index),
        GgufValueType.Int8 => Read<sbyte>(index),
        GgufValueType.UInt16 => Read<ushort>(index),
        GgufValueType.Int16 => Read<short>(index),
        GgufValueType.UInt32 => Read<uint>(index),
        GgufValueType.Int32 => Read<int>(index),
        GgufValueType.UInt64 => Read<ulong>(index),
        GgufValueType.Int64 => Read<long>(index),
        _ => null,
    };

    /// <summary>A float of either type, or an element of an array of them; null when it is none.</summary>
    public double? Float(int index = 0) => Type switch
    {
        GgufValueType.Float32 => Read<float>(index),
        GgufValueType.Float64 => Read<double>(index),
        _ => null,
    };

    /// <summary>A truth value, or an element of an array of them; null when it is none.</summary>
    public bool? Bool(int index = 0) => Type == GgufValueType.Bool ? Read<byte>(index) != 0 : null;

    /// <summary>The first strings of an array, as UTF-8, or the single one.</summary>
    public byte[][] Strings(int limit = int.MaxValue)
    {
        var strings = new byte[Math.Min(Count ?? 1, limit)][];
        var offset = Offset;
        for (var i = 0; i < strings.Length; i++)
        {
            var length = (int)MemoryMarshal.Read<ulong>(File.Span(offset, sizeof(ulong)));
            strings[i] = File.Span(offset + sizeof(ulong), length).ToArray();
            offset += sizeof(ulong) + length;
        }

        return strings;
    }

    /// <summary>The value as the .NET type of its own: a number, a bool, a string, or an array of one of these.</summary>
    public object Decode() => Type switch
    {
        GgufValueType.UInt8 => Decode<byte>(),
        GgufValueType.Int8 => Decode<sbyte>(),
        GgufValueType.UInt16 => Decode<ushort>(),
        GgufValueType.Int16 => Decode<short>(),
        GgufValueType.UInt32 => Decode<uint>(),
        GgufValueType.Int32 => Decode<int>(),
        GgufValueType.UInt64 => Decode<ulong>(),
        GgufValueType.Int64 => Decode<long>(),
        GgufValueType.Float32 => Decode<float>(),
        GgufValueType.Float64 => Decode<double>(),
        GgufValueType.Bool => Decode<bool>(),
        _ when Count is null => Text(Strings()[0]),
        _ => Array.ConvertAll(Strings(), Text),
    };

    /// <summary>The value as a line of text: an array by its length and its first elements.</summary>
    public string Format(int maxElements)
    {
        var shown = Math.Min(Count ?? 1, maxElements);
        var elements = Type == GgufValueType.String
            ? Array.ConvertAll(Strings(shown), bytes => Count is null ? Text(bytes) : $"\"{Text(bytes)}\"")
            : [.. Enumerable.Range(0, shown).Select(FormatElement)];
        return Count is not { } count ? elements[0] : $"[{count}] {string.Join(", ", elements)}{(count > shown ? ", …" : "")}";
    }

    /// <summary>Its type in words, for errors and listings: <c>Int32</c>, <c>Array of String</c>.</summary>
    public string TypeName => Count is null ? $"{Type}" : $"Array of {Type}";

    private string FormatElement(int index) =>
        Integer(index)?.ToString(CultureInfo.InvariantCulture)
        ?? (Bool(index) is { } truth ? (truth ? "true" : "false") : null)
        ?? (Type == GgufValueType.Float32 ? Read<float>(index).ToString(CultureInfo.InvariantCulture) : null)
        ?? Float(index)!.Value.ToString(CultureInfo.InvariantCulture);

    private object Decode<T>() where T : unmanaged =>
        Count is not { } count ? Read<T>(0) : MemoryMarshal.Cast<byte, T>(File.Span(Offset, count * Type.Size())).ToArray();

    private T Read<T>(int index) where T : unmanaged => MemoryMarshal.Read<T>(File.Span(Offset + (index * (long)Type.Size()), Type.Size()));

    private static string Text(byte[] utf8) => Encoding.UTF8.GetString(utf8);
}
