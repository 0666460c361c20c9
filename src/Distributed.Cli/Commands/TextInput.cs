using System.Text;
using Distributed.Cli.Output;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary>Text from a file or from stdin, of which there may be no end.</summary>
internal static class TextInput
{
    /// <summary>The longest text, in characters.</summary>
    public const int MaxLength = 256 << 20;

    // A byte that is no text would be read as a character that is not there.
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Reads a file, or stdin where it is named <c>-</c>.</summary>
    /// <param name="terminal">Whose stdin.</param>
    /// <param name="key">What the file is called in errors.</param>
    /// <param name="path">The file.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="InvalidInputException">It cannot be read, is no text in UTF-8, or is too long.</exception>
    public static async Task<string> ReadFileAsync(Terminal terminal, string key, string path, CancellationToken cancellation)
    {
        try
        {
            await using var file = path == "-" ? null : File.OpenRead(path);
            using var reader = new StreamReader(file ?? terminal.In.BaseStream, StrictUtf8, leaveOpen: true);
            return await ReadAsync(reader, key, path, cancellation);
        }
        catch (DecoderFallbackException)
        {
            throw new InvalidInputException(key, path, "must be text in UTF-8");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new InvalidInputException(key, path, $"cannot be read: {error.Message}");
        }
    }

    /// <summary>Reads to the end.</summary>
    /// <param name="reader">What to read.</param>
    /// <param name="key">What it is called in errors.</param>
    /// <param name="value">What stands for it in errors.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="InvalidInputException">It is longer than <see cref="MaxLength"/>.</exception>
    public static async Task<string> ReadAsync(TextReader reader, string key, string value, CancellationToken cancellation)
    {
        // Block by block: the length of a pipe or device is not known before its end.
        var text = new StringBuilder();
        var block = new char[1 << 16];
        for (int count; (count = await reader.ReadAsync(block, cancellation)) > 0; text.Append(block, 0, count))
            if (text.Length + count > MaxLength)
                throw new InvalidInputException(key, value, $"must have at most {MaxLength} characters");
        return text.ToString();
    }
}
