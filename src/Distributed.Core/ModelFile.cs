using System.Security.Cryptography;
using Distributed.Core.Tokenization;

namespace Distributed.Core;

/// <summary>
/// A model that can run: a <see cref="ModelSource"/> whose metadata and tensors were checked against its architecture. Files are
/// mapped, not read; opening takes milliseconds whatever their size. Disposing of it unmaps them; its tensors may not be used then.
/// </summary>
public sealed class ModelFile : IDisposable
{
    private readonly Lazy<byte[]> _hash;
    private readonly Lazy<Tokenizer> _tokenizer;

    /// <summary>The model of a source.</summary>
    /// <param name="source">It is disposed of with the model; when this constructor throws, it is the caller's still.</param>
    /// <exception cref="InvalidInputException">It is no model this build runs.</exception>
    public ModelFile(ModelSource source)
    {
        Source = source;
        Config = source.ReadConfig();
        Architecture = Architectures.ByName(Config.Architecture, source.Path);
        Tensors = source.Tensors;
        ModelTensors.Check(Architecture, Config, Tensors, source.Path);
        _hash = new Lazy<byte[]>(ComputeHash);
        _tokenizer = new Lazy<Tokenizer>(() => Tokenizer.FromVocabulary(source.ReadVocabulary()));
    }

    /// <summary>Where it comes from.</summary>
    public ModelSource Source { get; }

    /// <summary>The path it was opened with; of one of the shards, for a set.</summary>
    public string Path => Source.Path;

    /// <summary>What the architecture sets.</summary>
    public Architecture Architecture { get; }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; }

    /// <summary>The tensors by name, in the file's order.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors { get; }

    /// <summary>The matrix of the LM head: <c>output.weight</c>, or with tied embeddings <c>token_embd.weight</c>.</summary>
    public Tensor OutputMatrix => Tensors.GetValueOrDefault(TensorNames.Output) ?? Tensors[TensorNames.TokenEmbedding];

    /// <summary>Text to token ids and back; made on first use, which takes longer than opening the file.</summary>
    /// <exception cref="InvalidInputException">The file has no vocabulary, or one this build does not read.</exception>
    public Tokenizer Tokenizer => _tokenizer.Value;

    /// <summary>Bytes of all its files.</summary>
    public long Bytes => Source.Bytes;

    /// <summary>
    /// What tells models apart: a SHA-256, 32 bytes, made on first use of what <see cref="ModelSource.AppendTo"/> gives. It reads a
    /// few megabytes even of the largest models, so some changes of weights escape it. Do not write to the array.
    /// </summary>
    public byte[] Hash => _hash.Value;

    /// <summary>Opens a model; the path and errors are those of <see cref="ModelSource.Open"/>.</summary>
    /// <exception cref="InvalidInputException">A file is missing, unreadable or broken, or no model this build runs.</exception>
    public static ModelFile Open(string path)
    {
        var source = ModelSource.Open(path);
        try
        {
            return new ModelFile(source);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Source.Dispose();

    private byte[] ComputeHash()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Source.AppendTo(hash);
        return hash.GetHashAndReset();
    }
}
