using System.Buffers.Binary;
using System.Security.Cryptography;
using Distributed.Core.Gguf;
using Distributed.Core.Tokenization;

namespace Distributed.Core;

/// <summary>
/// A model that can run: a GGUF file, or a set of them, whose metadata and tensors were checked against its architecture. It is
/// mapped, not read; opening takes milliseconds whatever its size. Disposing of it unmaps it; its tensors may not be used then.
/// </summary>
public sealed class ModelFile : IDisposable
{
    private const int HashedTensorBytes = 4096;

    private readonly GgufFile _file;
    private readonly Lazy<byte[]> _hash;
    private readonly Lazy<Tokenizer> _tokenizer;

    private ModelFile(GgufFile file)
    {
        _file = file;
        Architecture = Architectures.ByName(file.Metadata.Architecture, file.Metadata.Source);
        Config = GgufModelConfig.Read(file, Architecture);
        ModelTensors.Check(Architecture, Config, file.Tensors, file.Path);
        _hash = new Lazy<byte[]>(ComputeHash);
        _tokenizer = new Lazy<Tokenizer>(() => Tokenizer.FromGguf(file.Metadata));
    }

    /// <summary>The path it was opened with; of one of the shards, for a set.</summary>
    public string Path => _file.Path;

    /// <summary>What the architecture sets.</summary>
    public Architecture Architecture { get; }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; }

    /// <summary>The key-value pairs of the file.</summary>
    public GgufMetadata Metadata => _file.Metadata;

    /// <summary>The tensors by name, in the file's order.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors => _file.Tensors;

    /// <summary>The matrix of the LM head: <c>output.weight</c>, or with tied embeddings <c>token_embd.weight</c>.</summary>
    public Tensor OutputMatrix => Tensors.GetValueOrDefault(TensorNames.Output) ?? Tensors[TensorNames.TokenEmbedding];

    /// <summary>Text to token ids and back; made on first use, which takes longer than opening the file.</summary>
    /// <exception cref="InvalidInputException">The file has no vocabulary, or one this build does not read.</exception>
    public Tokenizer Tokenizer => _tokenizer.Value;

    /// <summary>Bytes of all its files.</summary>
    public long Bytes => _file.Bytes;

    /// <summary>
    /// What tells models apart: SHA-256 over the length and the header of each file and the first 4 KiB of each tensor, 32 bytes.
    /// It reads a few megabytes even of the largest models, on first use; a change of weights behind the first 4 KiB of every
    /// tensor escapes it. Do not write to the array.
    /// </summary>
    public byte[] Hash => _hash.Value;

    /// <summary>Opens a model.</summary>
    /// <param name="path">A GGUF file; any shard of a set.</param>
    /// <exception cref="InvalidInputException">A file is missing, unreadable or broken, or no model this build runs.</exception>
    public static ModelFile Open(string path)
    {
        var file = GgufFile.Open(path);
        try
        {
            return new ModelFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private unsafe byte[] ComputeHash()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> length = stackalloc byte[sizeof(long)];
        foreach (var shard in _file.Shards)
        {
            BinaryPrimitives.WriteInt64LittleEndian(length, shard.Length);
            hash.AppendData(length);
            hash.AppendData(shard.HeaderBytes);
        }

        foreach (var tensor in Tensors.Values)
            hash.AppendData(new ReadOnlySpan<byte>(tensor.Data, (int)Math.Min(tensor.Bytes, HashedTensorBytes)));
        return hash.GetHashAndReset();
    }
}
