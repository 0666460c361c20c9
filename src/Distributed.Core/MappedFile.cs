using System.IO.MemoryMappedFiles;

namespace Distributed.Core;

/// <summary>
/// A whole file mapped into memory, read-only. It stays mapped until it is disposed of, or else until the process ends; pointers
/// into it are valid that long.
/// </summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _data;
    private bool _disposed;

    private MappedFile(string path, long length, MemoryMappedFile file, MemoryMappedViewAccessor view)
    {
        Path = path;
        Length = length;
        _file = file;
        _view = view;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref _data);
        _data += view.PointerOffset;
    }

    /// <summary>The path it was opened with.</summary>
    public string Path { get; }

    /// <summary>Bytes.</summary>
    public long Length { get; }

    /// <summary>The first byte.</summary>
    /// <exception cref="ObjectDisposedException">The file is no longer mapped.</exception>
    public byte* Data
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _data;
        }
    }

    /// <summary>Maps a file.</summary>
    /// <exception cref="InvalidInputException">
    /// There is no such file, it is empty, no plain file, or not readable. Its key is <c>model</c>.
    /// </exception>
    public static MappedFile Open(string path)
    {
        try
        {
            if (Directory.Exists(path))
                throw new InvalidInputException("model", path, "must be a file, not a folder");
            var info = new FileInfo(path);
            if (!info.Exists)
                throw new InvalidInputException("model", path, "there is no such file");
            // The length is asked for first: opening a pipe would block, and pipes, sockets and devices have none. A link has its
            // own length. Through a linked folder its target may not be found here; opening it decides then.
            var target = info.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? info;
            if (target is { Exists: true, Length: 0 })
                throw new InvalidInputException("model", path, "must be a plain file that is not empty");
            return Map(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new InvalidInputException("model", path, $"cannot be read: {exception.Message}");
        }
    }

    /// <summary>The bytes from <paramref name="offset"/> on.</summary>
    /// <exception cref="ArgumentOutOfRangeException">They reach past the end.</exception>
    public ReadOnlySpan<byte> Span(long offset, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length - count);
        return new ReadOnlySpan<byte>(Data + offset, count);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }

    private static MappedFile Map(string path)
    {
        // Another process may be filling those parts of a stored model that this one does not use.
        var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        MemoryMappedFile? file = null;
        try
        {
            var length = stream.Length;
            file = MemoryMappedFile.CreateFromFile(
                stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            return new MappedFile(path, length, file, file.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read));
        }
        catch
        {
            file?.Dispose();
            stream.Dispose();
            throw;
        }
    }
}
