using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Google.Protobuf;

namespace Distributed.Worker.Profiling;

/// <summary>
/// Profiles on disk, a JSON file each, named by what its figures hold for. A file that cannot be read is as good as none; one that
/// cannot be written costs the next start a measurement.
/// </summary>
/// <param name="folder">Where; made when needed.</param>
internal sealed class ProfileCache(string folder)
{
    // A program that is being worked on leaves one behind with every build.
    private const int MostFiles = 32;
    private const long MostBytes = 1 << 20;

    private static readonly JsonFormatter Formatter = new(JsonFormatter.Settings.Default.WithIndentation());

    /// <summary>The profile of that key; null where there is none that can be read.</summary>
    public DeviceProfile? Read(string key)
    {
        try
        {
            var file = new FileInfo(PathOf(key));
            if (!file.Exists || file.Length > MostBytes)
                return null;
            var profile = JsonParser.Default.Parse<DeviceProfile>(File.ReadAllText(file.FullName));
            return profile.Key == key && SoundProfile.Is(profile) ? profile : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidProtocolBufferException or InvalidJsonException)
        {
            return null;
        }
    }

    /// <summary>Keeps a profile, in place of an older one of its key, where it can be written.</summary>
    public void Write(DeviceProfile profile)
    {
        try
        {
            Directory.CreateDirectory(folder);
            // Under a name of its own first: a reader sees all of it or nothing.
            var temporary = PathOf($"{profile.Key}.{Environment.ProcessId}.{Guid.NewGuid():N}") + ".tmp";
            File.WriteAllText(temporary, Formatter.Format(profile));
            File.Move(temporary, PathOf(profile.Key), overwrite: true);
            foreach (var old in new DirectoryInfo(folder).GetFiles("*.json").OrderByDescending(file => file.LastWriteTimeUtc).Skip(MostFiles))
                old.Delete();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The next start measures again.
        }
    }

    /// <summary>
    /// Waits until no other worker on this machine measures: two at a time would measure each other. Dispose the result when done.
    /// </summary>
    /// <param name="patience">After which it is measured all the same.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<IDisposable?> LockAsync(TimeSpan patience, CancellationToken cancellation)
    {
        try
        {
            Directory.CreateDirectory(folder);
            return await FileLock.OwnAsync(Path.Combine(folder, "measuring.lock"), patience, cancellation);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private string PathOf(string key) => Path.Combine(folder, $"{key}.json");
}
