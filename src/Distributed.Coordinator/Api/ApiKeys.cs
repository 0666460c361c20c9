using System.Security.Cryptography;
using System.Text;
using Distributed.Core;
using Microsoft.AspNetCore.Http;

namespace Distributed.Coordinator.Api;

/// <summary>Who may use the HTTP API: whoever shows one of these keys. Their hashes alone are kept.</summary>
public sealed class ApiKeys
{
    private const int MaxBytes = 1 << 20;
    private const int MaxKeys = 1000;
    private const int MaxLength = 512;
    private const string Scheme = "Bearer ";

    private readonly byte[][] _hashes;

    private ApiKeys(IEnumerable<string> keys) => _hashes = [.. keys.Select(Hash)];

    /// <summary>Reads the keys of a file: one a line; empty lines and those that begin with # do not count.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidInputException">It cannot be read, has no key, or a line that is none. No key is told.</exception>
    public static IReadOnlyList<string> Read(string path)
    {
        const string Name = "api-key-file";
        string[] lines;
        try
        {
            if (new FileInfo(path).Length > MaxBytes)
                throw new InvalidInputException(Name, path, $"must be at most {ByteSize.Format(MaxBytes)}");
            lines = File.ReadAllLines(path);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new InvalidInputException(Name, path, "does not exist");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException(Name, path, $"cannot be read: {error.Message}");
        }

        var keys = new List<string>();
        foreach (var (index, line) in lines.Select(line => line.Trim()).Index())
        {
            if (line.Length == 0 || line[0] == '#')
                continue;
            if (line.Length > MaxLength || line.Any(letter => letter is <= ' ' or > '~'))
                throw new InvalidInputException([new InputError(Name, null, $"must be visible ASCII, at most {MaxLength} of it, without spaces", path, index + 1)]);
            keys.Add(line);
        }

        return keys.Count is > 0 and <= MaxKeys ? keys : throw new InvalidInputException(Name, path, $"must hold 1 to {MaxKeys} keys, one a line");
    }

    /// <summary>The keys of a file; null where there is none, and whoever comes may ask.</summary>
    /// <inheritdoc cref="Read"/>
    public static ApiKeys? Load(string? path) => path is null ? null : new ApiKeys(Read(path));

    /// <summary>Why a request is refused; null where it shows one of the keys. It takes as long whichever key is shown, and however much of one.</summary>
    internal OpenAiError? Refuse(HttpRequest request)
    {
        var header = request.Headers.Authorization.ToString();
        if (!header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
            return Unauthorized("there is no API key: send one in the header Authorization: Bearer KEY", null);
        var shown = Hash(header[Scheme.Length..].Trim());
        var isKnown = false;
        foreach (var hash in _hashes)
            isKnown |= CryptographicOperations.FixedTimeEquals(shown, hash);
        return isKnown ? null : Unauthorized("the API key is not one of this server's", "invalid_api_key");
    }

    private static OpenAiError Unauthorized(string message, string? code) =>
        new(StatusCodes.Status401Unauthorized, OpenAiError.InvalidRequest, message, Code: code);

    private static byte[] Hash(string key) => SHA256.HashData(Encoding.UTF8.GetBytes(key));
}
