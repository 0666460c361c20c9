using System.Text.Json;

namespace Distributed.Core.Safetensors;

/// <summary>A tensor as a header describes it, not yet checked.</summary>
/// <param name="DType">The type of its values.</param>
/// <param name="Shape">The dimensions, a row's length last.</param>
/// <param name="Begin">Its first byte, from the start of the tensors' bytes.</param>
/// <param name="End">One past its last.</param>
internal sealed record SafetensorsEntry(string DType, IReadOnlyList<long> Shape, long Begin, long End);

/// <summary>
/// Reads the header of a safetensors file: its length in eight bytes, then JSON with an object for each tensor. Format:
/// https://github.com/huggingface/safetensors. What it says is bounded by what the file has: an entry takes some forty bytes of it.
/// </summary>
internal static class SafetensorsHeader
{
    /// <summary>The longest header that is read, in bytes, as the format sets it.</summary>
    public const long MaxBytes = 100_000_000;

    /// <summary>Bytes of the length in front of the header.</summary>
    public const int LengthBytes = 8;

    private const string Metadata = "__metadata__";
    private const int MaxNameLength = 512;
    private const int MaxDimensions = 8;

    /// <summary>Bytes of the header's JSON, checked to lie inside the file.</summary>
    /// <exception cref="InvalidInputException">The file is too short, or no safetensors file.</exception>
    public static int ReadLength(MappedFile file)
    {
        var length = file.Length < LengthBytes ? 0 : BitConverter.ToUInt64(file.Span(0, LengthBytes));
        var most = Math.Clamp(file.Length - LengthBytes, 0, MaxBytes);
        if (length < 2 || length > (ulong)most || file.Span(LengthBytes, 1)[0] != '{')
            throw new InvalidInputException(
                "header",
                $"{length} bytes",
                $"must be JSON of 2 to {most} bytes behind its length; this is no safetensors file, or a part of one",
                file.Path);
        return (int)length;
    }

    /// <summary>The tensors by name, in the header's order.</summary>
    /// <exception cref="InvalidInputException">It is no JSON of this form.</exception>
    public static OrderedDictionary<string, SafetensorsEntry> Read(MappedFile file, int length)
    {
        var entries = new OrderedDictionary<string, SafetensorsEntry>();
        var name = "header";
        try
        {
            var json = new Utf8JsonReader(file.Span(LengthBytes, length), new JsonReaderOptions { MaxDepth = 8 });
            json.Read();
            while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
            {
                name = json.GetString()!;
                json.Read();
                if (name == Metadata)
                    json.Skip();
                else if (name.Length is 0 or > MaxNameLength || name.Any(char.IsControl))
                    throw Error("tensor name", name, $"must have 1 to {MaxNameLength} printable characters");
                else if (!entries.TryAdd(name, ReadEntry(ref json)))
                    throw Error(name, "there twice", "must be there once");
            }
            json.Read(); // nothing but blanks may follow
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or FormatException)
        {
            throw Error(name, "malformed", $"must be JSON of dtype, shape and data_offsets: {exception.Message}");
        }
        return entries;

        InvalidInputException Error(string key, string value, string rule) => new(key, value, rule, file.Path);
    }

    private static SafetensorsEntry ReadEntry(ref Utf8JsonReader json)
    {
        string? dtype = null;
        List<long>? shape = null, offsets = null;
        if (json.TokenType != JsonTokenType.StartObject)
            throw new FormatException("a tensor must be an object");
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            var key = json.GetString();
            json.Read();
            switch (key)
            {
                case "dtype": dtype = json.GetString(); break;
                case "shape": shape = ReadNumbers(ref json, MaxDimensions); break;
                case "data_offsets": offsets = ReadNumbers(ref json, 2); break;
                default: json.Skip(); break;
            }
        }
        return dtype is not null && shape is not null && offsets is { Count: 2 }
            ? new SafetensorsEntry(dtype, shape, offsets[0], offsets[1])
            : throw new FormatException("one of them is missing");
    }

    private static List<long> ReadNumbers(ref Utf8JsonReader json, int most)
    {
        if (json.TokenType != JsonTokenType.StartArray)
            throw new FormatException("must be an array of integers");
        var numbers = new List<long>();
        while (json.Read() && json.TokenType != JsonTokenType.EndArray)
        {
            if (numbers.Count == most)
                throw new FormatException($"an array has more than {most} integers");
            numbers.Add(json.GetInt64());
            if (numbers[^1] < 0)
                throw new FormatException("a number is negative");
        }
        return numbers;
    }
}
