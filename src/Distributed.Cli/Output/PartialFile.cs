using Distributed.Core;

namespace Distributed.Cli.Output;

/// <summary>
/// A file that takes its name once it is complete. Until then it stands beside it as <c>NAME.XXXXXXXX.partial</c>, which no file was
/// called before, so that a command that fails leaves all that was there as it was, and nothing half-written.
/// </summary>
internal sealed class PartialFile : IDisposable
{
    private readonly string _flag;
    private readonly string _path;

    // What is behind /dev/stdout or /dev/null is written as it is, and never replaced.
    private readonly bool _isDevice;

    /// <param name="flag">The flag that names the file, for errors.</param>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidInputException">It cannot be written.</exception>
    public PartialFile(string flag, string path)
    {
        (_flag, _path) = (flag, path);
        try
        {
            if (path.Length == 0)
                throw new IOException("it must have a name");
            _isDevice = IsDevice(Path.GetFullPath(path));
            if (Directory.Exists(path))
                throw new IOException("it is a folder");
            Stream = _isDevice ? Open(path, FileMode.Create) : Open($"{path}.{Random.Shared.Next():x8}.partial", FileMode.CreateNew);
        }
        catch (Exception error) when (IsRefusal(error))
        {
            throw Refused(error);
        }
    }

    /// <summary>What to write to.</summary>
    public FileStream Stream { get; }

    /// <summary>Gives the file its name, in place of one that has it already.</summary>
    /// <exception cref="InvalidInputException">The file that is there cannot be replaced.</exception>
    public void Complete()
    {
        Stream.Dispose();
        if (_isDevice)
            return;
        try
        {
            File.Move(Stream.Name, _path, overwrite: true);
        }
        catch (Exception error) when (IsRefusal(error))
        {
            throw Refused(error);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Stream.Dispose();
        if (_isDevice)
            return;
        try
        {
            File.Delete(Stream.Name);
        }
        catch (Exception error) when (IsRefusal(error))
        {
            // Its folder is gone, or no longer ours; what the command ended with must not be hidden by that.
        }
    }

    private static FileStream Open(string path, FileMode mode) =>
        new(path, mode, FileAccess.Write, FileShare.Read, bufferSize: 0);

    // Files in shared memory are files like any other.
    private static bool IsDevice(string path) =>
        path.StartsWith("/dev/", StringComparison.Ordinal) && !path.StartsWith("/dev/shm/", StringComparison.Ordinal);

    private static bool IsRefusal(Exception error) =>
        error is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException;

    private InvalidInputException Refused(Exception error) => new(_flag, _path, $"cannot be written: {error.Message}");
}
