using System.Globalization;
using Distributed.Cli.Output;
using Distributed.Core;

namespace Distributed.Cli.Lab;

/// <summary>
/// The folder an experiment leaves behind: <c>setup.json</c> (what was measured, and on what), <c>data.csv</c> (a row per
/// measurement, written as it is made) and plots. Never one that holds anything already; gone again where nothing came to be in it.
/// </summary>
internal sealed class LabFolder : IDisposable
{
    private readonly string _path;
    private readonly bool _isNew;

    /// <summary>Makes the folder where there is none.</summary>
    /// <param name="flag">The flag that names it, for errors.</param>
    /// <param name="path">The folder; null for a new one below the current, named after the experiment and the time.</param>
    /// <param name="experiment">E.g. <c>split</c>.</param>
    /// <exception cref="InvalidInputException">It is no folder, holds something, or cannot be written to.</exception>
    public LabFolder(string flag, string? path, string experiment)
    {
        _path = path ?? string.Create(CultureInfo.InvariantCulture, $"lab-{experiment}-{DateTime.Now:yyyyMMdd-HHmmss}");
        try
        {
            _isNew = !Directory.Exists(_path);
            Directory.CreateDirectory(_path);
            if (Directory.EnumerateFileSystemEntries(_path).Any())
                throw new InvalidInputException(flag, _path, "holds something already; must be a new folder or an empty one");
            using var probe = System.IO.File.Create(File("setup.json"), 1, FileOptions.DeleteOnClose);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new InvalidInputException(flag, _path, $"cannot be written: {error.Message}");
        }
    }

    /// <summary>The folder's path, as it was given.</summary>
    public override string ToString() => _path;

    /// <summary>The path of a file in it.</summary>
    public string File(string name) => Path.Combine(_path, name);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_isNew && Directory.Exists(_path) && !Directory.EnumerateFileSystemEntries(_path).Any())
            Directory.Delete(_path);
    }

    /// <summary>Writes a JSON document.</summary>
    public void WriteJson<T>(string name, T value)
    {
        using var writer = System.IO.File.CreateText(File(name));
        Json.Write(writer, value);
    }
}
