namespace Distributed.Worker.Weights;

/// <summary>
/// A lock between processes: as many as like may share it, or one has it alone. It ends with its process, however that ends. Its file
/// stays: one that is deleted while somebody is about to lock it would give two owners.
/// </summary>
internal sealed class StoreLock : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    private readonly FileStream _file;

    private StoreLock(FileStream file) => _file = file;

    /// <summary>Takes the lock together with others; waits while one has it alone, which is never for long.</summary>
    /// <exception cref="IOException">It cannot be had.</exception>
    public static StoreLock Share(string path) => Wait(path, FileShare.ReadWrite);

    /// <summary>Takes the lock alone; waits while others have it.</summary>
    /// <exception cref="IOException">It cannot be had.</exception>
    public static StoreLock Own(string path) => Wait(path, FileShare.None);

    /// <summary>Takes the lock alone; null while others have it.</summary>
    public static StoreLock? TryOwn(string path)
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

    private static StoreLock Wait(string path, FileShare share)
    {
        for (var until = DateTime.UtcNow + Patience; ; Thread.Sleep(Interval))
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

    private static StoreLock Open(string path, FileShare share) =>
        new(new FileStream(path, FileMode.OpenOrCreate, FileAccess.Read, share, bufferSize: 0));
}
