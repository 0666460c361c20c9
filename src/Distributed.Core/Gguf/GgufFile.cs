using System.Buffers.Binary;
using System.Security.Cryptography;
using Distributed.Core.Tokenization;

namespace Distributed.Core.Gguf;

/// <summary>
/// A GGUF file (version 2 or 3, little-endian), or a set of them (<c>NAME-00001-of-00003.gguf</c>), memory-mapped: its metadata and
/// its tensors in place. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Nothing in it is trusted: every
/// length, offset and type is checked before <see cref="Open"/> returns. Disposing of it unmaps the file; neither metadata nor
/// tensors may be used after that.
/// </summary>
public sealed class GgufFile : ModelSource
{
    private const int HashedTensorBytes = 4096;

    private readonly IReadOnlyList<GgufShard> _shards;
    private readonly OrderedDictionary<string, Tensor> _tensors = [];

    private GgufFile(string path, IReadOnlyList<GgufShard> shards)
    {
        Path = path;
        _shards = shards;
        foreach (var shard in shards)
            foreach (var tensor in shard.Tensors)
                if (!_tensors.TryAdd(tensor.Name, tensor))
                    throw new InvalidInputException(tensor.Name, "there twice", "must be in one shard only", shard.Path);
        GgufSplit.CheckTensorCount(Metadata, _tensors.Count);
    }

    /// <summary>The path it was opened with; of one of the shards, for a set.</summary>
    public override string Path { get; }

    /// <inheritdoc/>
    public override string Format => $"GGUF version {Version}";

    /// <summary>The metadata: that of the first shard, for a set.</summary>
    public GgufMetadata Metadata => _shards[0].Header.Metadata;

    /// <inheritdoc/>
    public override IEnumerable<KeyValuePair<string, object>> Entries =>
        Metadata.Keys.Select(key => KeyValuePair.Create(key, Metadata.GetValue(key)));

    /// <summary>The tensors by name, in the file's order.</summary>
    public override IReadOnlyDictionary<string, Tensor> Tensors => _tensors;

    /// <summary>The version of the format.</summary>
    public int Version => (int)_shards[0].Header.Version;

    /// <summary>The paths of all files of the set, in order; one, as a rule.</summary>
    public IReadOnlyList<string> Paths => [.. _shards.Select(shard => shard.Path)];

    /// <inheritdoc/>
    public override int Shards => _shards.Count;

    /// <inheritdoc/>
    public override ModelFormat? FileFormat => ModelFormat.Gguf;

    /// <inheritdoc/>
    public override IReadOnlyList<ModelPart> Files =>
        [.. _shards.Select(shard => new ModelPart(shard.Path, shard.Length, shard.HeaderBytes.Length))];

    /// <summary>Bytes of all files.</summary>
    public override long Bytes => _shards.Sum(shard => shard.Length);

    /// <inheritdoc/>
    public override string? ChatTemplate => Metadata.TryGetString("tokenizer.chat_template", out var template) ? template : null;

    /// <summary>Maps a file, and the whole set when it is a shard of one.</summary>
    /// <exception cref="InvalidInputException">A file is missing or unreadable, or breaks a rule of the format.</exception>
    public static new GgufFile Open(string path)
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
    public override ModelConfig ReadConfig() => GgufModelConfig.Read(this);

    /// <inheritdoc/>
    public override Vocabulary ReadVocabulary() => GgufVocabulary.Read(Metadata);

    /// <summary>
    /// The length and the header of each file and the first 4 KiB of each tensor. A change of weights behind the first 4 KiB of
    /// every tensor escapes it.
    /// </summary>
    public override unsafe void AppendTo(IncrementalHash hash)
    {
        Span<byte> length = stackalloc byte[sizeof(long)];
        foreach (var shard in _shards)
        {
            BinaryPrimitives.WriteInt64LittleEndian(length, shard.Length);
            hash.AppendData(length);
            hash.AppendData(shard.HeaderBytes);
        }

        foreach (var tensor in Tensors.Values)
            hash.AppendData(new ReadOnlySpan<byte>(tensor.Data, (int)Math.Min(tensor.Bytes, HashedTensorBytes)));
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        foreach (var shard in _shards)
            shard.Dispose();
    }
}
