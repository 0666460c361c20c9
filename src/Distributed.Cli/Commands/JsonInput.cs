using System.Text;
using System.Text.Json;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary>JSON that a flag brings in.</summary>
internal static class JsonInput
{
    /// <summary>Reads a JSON file.</summary>
    /// <param name="flag">The flag that names it, for errors.</param>
    /// <param name="path">The file.</param>
    /// <param name="rule">What it must be, as a phrase that follows the value.</param>
    /// <exception cref="InvalidInputException">The file cannot be read, or is something else.</exception>
    public static T ReadFile<T>(string flag, string path, string rule)
    {
        try
        {
            ReadOnlySpan<byte> utf8 = File.ReadAllBytes(path);
            // Some editors and shells begin a file with a byte-order mark.
            return Parse<T>(flag, path, utf8.StartsWith(Encoding.UTF8.Preamble) ? utf8[Encoding.UTF8.Preamble.Length..] : utf8, rule);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new InvalidInputException(flag, path, $"cannot be read: {error.Message}");
        }
    }

    /// <summary>Reads JSON.</summary>
    /// <param name="key">What it is called in errors.</param>
    /// <param name="value">What stands for it in errors.</param>
    /// <param name="utf8">The JSON.</param>
    /// <param name="rule">What it must be, as a phrase that follows the value.</param>
    /// <exception cref="InvalidInputException">It is something else.</exception>
    public static T Parse<T>(string key, string value, ReadOnlySpan<byte> utf8, string rule)
    {
        try
        {
            return JsonSerializer.Deserialize<T>(utf8) ?? throw new InvalidInputException(key, value, rule);
        }
        catch (JsonException error)
        {
            // The reader's own message names .NET types; the place is what helps.
            throw new InvalidInputException(key, value, $"{rule}; it is not at {error.Path}, line {error.LineNumber + 1}");
        }
    }
}
