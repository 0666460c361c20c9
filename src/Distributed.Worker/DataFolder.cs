namespace Distributed.Worker;

/// <summary>Where a worker keeps what outlives it.</summary>
public static class DataFolder
{
    /// <summary>
    /// <c>distributed</c> in the user's folder for caches (<c>XDG_CACHE_HOME</c>, or <c>~/.cache</c>); where there is no home, in the
    /// system's folder for temporary files.
    /// </summary>
    public static string Default { get; } = Path.Combine(Caches(), "distributed");

    private static string Caches()
    {
        if (Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } named && Path.IsPathRooted(named))
            return named;
        if (OperatingSystem.IsWindows())
            return Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData);
        var home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        return home.Length > 0 ? Path.Combine(home, ".cache") : Path.GetTempPath();
    }
}
