using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Worker.Weights;

/// <summary>
/// Weights that this machine keeps of models whose files it has not got, in a folder of bounded size, which several workers may share.
/// A model is there under its hash, as files with holes where no stage of this machine has needed anything; so other splits of the
/// same model find what they have in common. When room is needed the model that was used last the longest ago goes, but none that
/// somebody uses. Nothing in it is named by what comes from outside.
/// </summary>
public sealed class WeightStore
{
    // Who has a lock alone has it for a moment: to look, to delete, to write down what is about to come.
    private static readonly TimeSpan LockPatience = TimeSpan.FromSeconds(30);

    private readonly string _folder;
    private readonly string _locks;
    private readonly long _limit;

    /// <param name="data">The worker's folder; made when the first weights come.</param>
    /// <param name="limit">The most bytes of weights to keep.</param>
    public WeightStore(string data, long limit)
    {
        _folder = Path.Combine(data, "weights");
        _locks = Path.Combine(_folder, "locks");
        _limit = limit;
    }

    /// <summary>The folder, for messages.</summary>
    public string Folder => _folder;

    /// <summary>Opens what there is of a model, and keeps it from being thrown out until it is disposed of.</summary>
    /// <param name="hash">The model's hash; names it.</param>
    /// <param name="outline">Its files, checked.</param>
    /// <param name="cancellation">Gives up waiting for another process.</param>
    /// <exception cref="IOException">The folder cannot be written, or holds other files under this hash.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder cannot be written.</exception>
    public async Task<StoredModel> OpenAsync(ReadOnlyMemory<byte> hash, ModelOutline outline, CancellationToken cancellation)
    {
        var name = Convert.ToHexStringLower(hash.Span);
        Directory.CreateDirectory(_locks);
        using (var alone = FileLock.TryOwn(LockOf(name)))
        {
            if (alone is not null && Directory.Exists(FolderOf(name)))
                ChunkJournal.Merge(FolderOf(name));
        }

        var shared = await FileLock.ShareAsync(LockOf(name), LockPatience, cancellation);
        try
        {
            File.SetLastWriteTimeUtc(LockOf(name), DateTime.UtcNow);
            Directory.CreateDirectory(FolderOf(name));
            return new StoredModel(FolderOf(name), outline, shared, (bytes, giveUp) => MakeRoomAsync(name, bytes, giveUp));
        }
        catch
        {
            shared.Dispose();
            throw;
        }
    }

    /// <summary>Throws a model out, unless somebody uses it.</summary>
    /// <returns>Whether it is gone.</returns>
    public bool TryRemove(ReadOnlySpan<byte> hash)
    {
        var name = Convert.ToHexStringLower(hash);
        using var alone = FileLock.TryOwn(LockOf(name));
        if (alone is not null)
            Remove(name);
        return alone is not null;
    }

    // Takes the room for bytes that are about to be added to a model; gives the journal that has them on record.
    private async Task<ChunkJournal> MakeRoomAsync(string name, long bytes, CancellationToken cancellation)
    {
        // One at a time, so that no two count the same room.
        using var alone = await FileLock.OwnAsync(Path.Combine(_locks, "store"), LockPatience, cancellation);
        var models = new DirectoryInfo(_folder).EnumerateDirectories().Where(folder => folder.Name != Path.GetFileName(_locks))
            .Select(folder => (folder.Name, Used: File.GetLastWriteTimeUtc(LockOf(folder.Name)), ChunkJournal.Read(folder.FullName).Bytes))
            .ToList();
        var own = models.Where(model => model.Name == name).Sum(model => model.Bytes);
        var (taken, free) = (models.Sum(model => model.Bytes), FreeOnDisk());
        var going = new List<(string Name, FileLock Alone)>();
        try
        {
            foreach (var model in models.Where(model => model.Name != name).OrderBy(model => model.Used))
            {
                if (taken + bytes <= _limit && bytes <= free)
                    break;
                if (FileLock.TryOwn(LockOf(model.Name)) is not { } unused)
                    continue;
                going.Add((model.Name, unused));
                taken -= model.Bytes;
                free += model.Bytes;
            }

            // Before anything is deleted: what is too much for the whole store must not empty it.
            if (taken + bytes > _limit || bytes > free)
                throw Full(bytes, taken, Math.Min(_limit - (taken - own), free + own));
            foreach (var model in going)
                Remove(model.Name);
        }
        finally
        {
            foreach (var model in going)
                model.Alone.Dispose();
        }

        // A model may have taken less of the disk than is on record: what was about to come never did.
        if (bytes > FreeOnDisk())
            throw Full(bytes, taken, Math.Min(_limit - (taken - own), FreeOnDisk() + own));
        var journal = ChunkJournal.Create(FolderOf(name));
        journal.Plan(bytes);
        return journal;
    }

    private StoreFullException Full(long bytes, long taken, long roomWithoutIt)
    {
        var text = $"{ByteSize.Format(bytes)} of weights are to be stored in {_folder}, ";
        text += taken + bytes > _limit
            ? $"which may hold {ByteSize.Format(_limit)} and has {ByteSize.Format(taken)} in use; raise --store-size"
            : $"whose disk has {ByteSize.Format(FreeOnDisk())} free; make room there, name a folder on another disk (--data)";
        return new StoreFullException($"{text}, or give this worker its own copy of the model", roomWithoutIt);
    }

    private long FreeOnDisk() => new DriveInfo(Path.GetFullPath(_folder)).AvailableFreeSpace;

    // Whoever calls this has the model's lock alone.
    private void Remove(string name)
    {
        if (Directory.Exists(FolderOf(name)))
            Directory.Delete(FolderOf(name), recursive: true);
    }

    private string FolderOf(string name) => Path.Combine(_folder, name);

    private string LockOf(string name) => Path.Combine(_locks, name);
}
