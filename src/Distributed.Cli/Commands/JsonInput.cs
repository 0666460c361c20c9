using System.Text;
using System.Text.Json;
using Distributed.Cli.Output;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary>JSON that a flag brings in.</summary>
internal static class JsonInput
{
    /// <summary>Reads a JSON file.</summary>
    /// <param name="terminal">Whose stdin stands for <c>-</c>.</param>
    /// <param name="flag">The flag that names the file, for errors.</param>
    /// <param name="path">The file.</param>
    /// <param name="rule">What it must be, as a phrase that follows the value.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="InvalidInputException">The file cannot be read, or is something else.</exception>
    public static async Task<T> ReadFileAsync<T>(Terminal terminal, string flag, string path, string rule, CancellationToken cancellation) =>
        Parse<T>(flag, path, Encoding.UTF8.GetBytes(await TextInput.ReadFileAsync(terminal, flag, path, cancellation)), rule);

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
