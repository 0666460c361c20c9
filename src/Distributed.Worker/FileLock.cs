namespace Distributed.Worker;

/// <summary>
/// A lock between processes: as many as like may share it, or one has it alone. It ends with its process, however that ends. Its file
/// stays: one that is deleted while somebody is about to lock it would give two owners.
/// </summary>
internal sealed class FileLock : IDisposable
{
    // Nobody says when a lock is free; so it is tried again and again.
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    private readonly FileStream _file;

    private FileLock(FileStream file) => _file = file;

    /// <summary>Takes the lock together with others; waits while one has it alone.</summary>
    /// <param name="path">The file; its folder is there.</param>
    /// <param name="patience">How long.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="IOException">It cannot be had, or not within that time.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be opened.</exception>
    public static Task<FileLock> ShareAsync(string path, TimeSpan patience, CancellationToken cancellation) =>
        WaitAsync(path, FileShare.ReadWrite, patience, cancellation);

    /// <summary>Takes the lock alone; waits while others have it.</summary>
    /// <param name="path">The file; its folder is there.</param>
    /// <param name="patience">How long.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="IOException">It cannot be had, or not within that time.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be opened.</exception>
    public static Task<FileLock> OwnAsync(string path, TimeSpan patience, CancellationToken cancellation) =>
        WaitAsync(path, FileShare.None, patience, cancellation);

    /// <summary>Takes the lock alone; null while others have it.</summary>
    public static FileLock? TryOwn(string path)
    {
        try
        {
            return Open(path, FileShare.None);
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static async Task<FileLock> WaitAsync(string path, FileShare share, TimeSpan patience, CancellationToken cancellation)
    {
        for (var until = DateTime.UtcNow + patience; ; await Task.Delay(Interval, cancellation))
        {
            try
            {
                return Open(path, share);
            }
            catch (IOException error) when (error is not (FileNotFoundException or DirectoryNotFoundException) && DateTime.UtcNow < until)
            {
            }
        }
    }

    private static FileLock Open(string path, FileShare share) =>
        new(new FileStream(path, FileMode.OpenOrCreate, FileAccess.Read, share, bufferSize: 0));
}
