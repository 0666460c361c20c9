using System.Text.Json;
using System.Text.Unicode;

namespace Distributed.Core.HuggingFace;

/// <summary>Reads the JSON files of a folder, all of which are hostile until they are read.</summary>
internal static class JsonFile
{
    // The largest tokenizers take some 35 MB, the index of a model with 100 000 tensors 10.
    private const long MaxBytes = 256L << 20;

    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 64 };

    /// <summary>The object in a file. The bytes are kept in <paramref name="raw"/>.</summary>
    /// <exception cref="InvalidInputException">It cannot be read, or is no JSON object.</exception>
    public static JsonElement Read(string path, out byte[] raw)
    {
        try
        {
            raw = PlainFile.ReadAllBytes(path, MaxBytes);
            // A copy that needs no disposing of. Files written on Windows may begin with a byte order mark.
            var text = raw.AsMemory(raw is [0xEF, 0xBB, 0xBF, ..] ? 3 : 0);
            if (!Utf8.IsValid(text.Span))
                throw new JsonException("the text is no UTF-8");
            using var document = JsonDocument.Parse(text, Options);
            // Half a surrogate pair, written as an escape, is found when its string is read; better now.
            if (text.Span.IndexOf("\\ud"u8) >= 0 || text.Span.IndexOf("\\uD"u8) >= 0)
                ReadStrings(document.RootElement);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? document.RootElement.Clone()
                : throw new InvalidInputException(
                    Path.GetFileName(path), $"{document.RootElement.ValueKind}", "must be a JSON object", path);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new InvalidInputException(Path.GetFileName(path), "malformed", $"must be JSON: {exception.Message}", path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException(Path.GetFileName(path), null, $"cannot be read: {exception.Message}", path);
        }
    }

    /// <summary>The object in a file; null where there is no such file.</summary>
    /// <exception cref="InvalidInputException">It cannot be read, or is no JSON object.</exception>
    public static JsonElement? TryRead(string path) => File.Exists(path) ? Read(path, out _) : null;

    private static void ReadStrings(JsonElement json)
    {
        if (json.ValueKind == JsonValueKind.String)
            _ = json.GetString();
        else if (json.ValueKind == JsonValueKind.Array)
            foreach (var element in json.EnumerateArray())
                ReadStrings(element);
        else if (json.ValueKind == JsonValueKind.Object)
            foreach (var member in json.EnumerateObject())
            {
                _ = member.Name;
                ReadStrings(member.Value);
            }
    }

    /// <summary>A member of an object; null where it is missing or null, or <paramref name="element"/> is no object.</summary>
    public static JsonElement? Find(this JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null
            ? value
            : null;

    /// <summary>A member of an object that is a string; null where it is missing or something else.</summary>
    public static string? FindString(this JsonElement element, string name) =>
        element.Find(name) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;

    /// <summary>A member of an object that is true or false; null where it is missing or something else.</summary>
    public static bool? FindBool(this JsonElement element, string name) =>
        element.Find(name) is { ValueKind: JsonValueKind.True or JsonValueKind.False } truth ? truth.GetBoolean() : null;

    /// <summary>A member of an object that is an integer of 32 bits; null where it is missing or something else.</summary>
    public static int? FindInt32(this JsonElement element, string name) =>
        element.Find(name) is { ValueKind: JsonValueKind.Number } number && number.TryGetInt32(out var value) ? value : null;
}
