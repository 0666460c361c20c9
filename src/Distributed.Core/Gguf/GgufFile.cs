namespace Distributed.Core.Gguf;

/// <summary>
/// A GGUF file (version 2 or 3, little-endian), or a set of them (<c>NAME-00001-of-00003.gguf</c>), memory-mapped: its metadata and
/// its tensors in place. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Nothing in it is trusted: every
/// length, offset and type is checked before <see cref="Open"/> returns. Disposing of it unmaps the file; neither metadata nor
/// tensors may be used after that.
/// </summary>
public sealed class GgufFile : IDisposable
{
    private readonly OrderedDictionary<string, Tensor> _tensors = [];

    private GgufFile(string path, IReadOnlyList<GgufShard> shards)
    {
        Path = path;
        Shards = shards;
        foreach (var shard in shards)
            foreach (var tensor in shard.Tensors)
                if (!_tensors.TryAdd(tensor.Name, tensor))
                    throw new InvalidInputException(tensor.Name, "there twice", "must be in one shard only", shard.Path);
        GgufSplit.CheckTensorCount(Metadata, _tensors.Count);
    }

    /// <summary>The path it was opened with; of one of the shards, for a set.</summary>
    public string Path { get; }

    /// <summary>The metadata: that of the first shard, for a set.</summary>
    public GgufMetadata Metadata => Shards[0].Header.Metadata;

    /// <summary>The tensors by name, in the file's order.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors => _tensors;

    /// <summary>The version of the format.</summary>
    public int Version => (int)Shards[0].Header.Version;

    /// <summary>The paths of all files of the set, in order; one, as a rule.</summary>
    public IReadOnlyList<string> Paths => [.. Shards.Select(shard => shard.Path)];

    /// <summary>Bytes of all files.</summary>
    public long Bytes => Shards.Sum(shard => shard.Length);

    /// <summary>The files of the set, in order.</summary>
    internal IReadOnlyList<GgufShard> Shards { get; }

    /// <summary>Maps a file, and the whole set when it is a shard of one.</summary>
    /// <exception cref="InvalidInputException">A file is missing or unreadable, or breaks a rule of the format.</exception>
    public static GgufFile Open(string path)
    {
        var shards = new List<GgufShard>();
        try
        {
            shards.Add(GgufShard.Open(path));
            GgufSplit.OpenRest(shards);
            return new GgufFile(path, shards);
        }
        catch
        {
            foreach (var shard in shards)
                shard.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var shard in Shards)
            shard.Dispose();
    }
}
