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
    /// <exception cref="IOException">The folder cannot be written, or holds other files under this hash.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder cannot be written.</exception>
    public StoredModel Open(ReadOnlySpan<byte> hash, ModelOutline outline)
    {
        var name = Convert.ToHexStringLower(hash);
        Directory.CreateDirectory(_locks);
        using (var alone = StoreLock.TryOwn(LockOf(name)))
        {
            if (alone is not null && Directory.Exists(FolderOf(name)))
                ChunkJournal.Merge(FolderOf(name));
        }

        var shared = StoreLock.Share(LockOf(name));
        try
        {
            File.SetLastWriteTimeUtc(LockOf(name), DateTime.UtcNow);
            Directory.CreateDirectory(FolderOf(name));
            return new StoredModel(FolderOf(name), outline, shared, bytes => MakeRoom(name, bytes));
        }
        catch
        {
            shared.Dispose();
            throw;
        }
    }

    /// <summary>Throws a model out, unless somebody uses it.</summary>
    /// <returns>Whether it is gone.</returns>
    public bool TryRemove(ReadOnlySpan<byte> hash) => TryRemove(Convert.ToHexStringLower(hash));

    private bool TryRemove(string name)
    {
        using var alone = StoreLock.TryOwn(LockOf(name));
        if (alone is null)
            return false;
        Directory.Delete(FolderOf(name), recursive: true);
        return true;
    }

    // Takes the room for bytes that are about to be added to a model; gives the journal that has them on record.
    private ChunkJournal MakeRoom(string name, long bytes)
    {
        // One at a time, so that no two count the same room.
        using var alone = StoreLock.Own(Path.Combine(_locks, "store"));
        var models = new DirectoryInfo(_folder).EnumerateDirectories().Where(folder => folder.Name != Path.GetFileName(_locks))
            .Select(folder => (folder.Name, Used: File.GetLastWriteTimeUtc(LockOf(folder.Name)), ChunkJournal.Read(folder.FullName).Bytes))
            .ToList();
        var taken = models.Sum(model => model.Bytes);
        foreach (var model in models.Where(model => model.Name != name).OrderBy(model => model.Used))
        {
            if (taken + bytes > _limit && TryRemove(model.Name))
                taken -= model.Bytes;
        }

        if (taken + bytes > _limit)
            throw new StoreFullException(
                $"{ByteSize.Format(bytes)} of weights are to be stored in {_folder}, which may hold {ByteSize.Format(_limit)} and has "
                + $"{ByteSize.Format(taken)} in use; raise --store-size, or give this worker its own copy of the model");
        CheckDisk(bytes);
        var journal = ChunkJournal.Create(FolderOf(name));
        journal.Plan(bytes);
        return journal;
    }

    private void CheckDisk(long bytes)
    {
        var free = new DriveInfo(Path.GetFullPath(_folder)).AvailableFreeSpace;
        if (bytes > free)
            throw new StoreFullException(
                $"{ByteSize.Format(bytes)} of weights are to be stored in {_folder}, whose disk has {ByteSize.Format(free)} free; "
                + "make room there, name a folder on another disk (--data), or give this worker its own copy of the model");
    }

    private string FolderOf(string name) => Path.Combine(_folder, name);

    private string LockOf(string name) => Path.Combine(_locks, name);
}
