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
        var file = new FileInfo(Path.Combine(folder, FileName));
        if (file.Exists)
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

    private static string Read(FileInfo file)
    {
        try
        {
            return file.Length <= MaxBytes
                ? File.ReadAllText(file.FullName)
                : throw new InvalidInputException(FileName, $"{file.Length} bytes", $"must have at most {MaxBytes}", file.FullName);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException(FileName, null, $"cannot be read: {exception.Message}", file.FullName);
        }
    }
}
