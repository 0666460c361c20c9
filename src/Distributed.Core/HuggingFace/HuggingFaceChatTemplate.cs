using System.Text;
using System.Text.Json;

namespace Distributed.Core.HuggingFace;

/// <summary>Finds a folder's chat template: a file of its own, else in <c>tokenizer_config.json</c>, where there may be several.</summary>
internal static class HuggingFaceChatTemplate
{
    private const string FileName = "chat_template.jinja";
    private const long MaxBytes = 4 << 20;

    /// <summary>The template, or of several the one named <c>default</c>; null for none.</summary>
    /// <exception cref="InvalidInputException">A file cannot be read.</exception>
    public static string? Find(string folder)
    {
        var file = Path.Combine(folder, FileName);
        if (File.Exists(file))
            return Read(file);
        return Of(JsonFile.TryRead(Path.Combine(folder, "chat_template.json")))
            ?? Of(JsonFile.TryRead(Path.Combine(folder, "tokenizer_config.json")));
    }

    private static string? Of(JsonElement? file) => file?.Find("chat_template") switch
    {
        { ValueKind: JsonValueKind.String } template => template.GetString(),
        { ValueKind: JsonValueKind.Array } templates =>
            templates.EnumerateArray().FirstOrDefault(template => template.FindString("name") == "default").FindString("template"),
        _ => null,
    };

    private static string Read(string path)
    {
        try
        {
            return Encoding.UTF8.GetString(PlainFile.ReadAllBytes(path, MaxBytes)).TrimStart('\uFEFF');
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException(FileName, null, $"cannot be read: {exception.Message}", path);
        }
    }
}
