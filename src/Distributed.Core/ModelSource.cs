using System.Security.Cryptography;
using Distributed.Core.Gguf;
using Distributed.Core.HuggingFace;
using Distributed.Core.Tokenization;

namespace Distributed.Core;

/// <summary>
/// Where a model comes from: a GGUF file, a folder, memory. It gives tensors under this project's names (<see cref="TensorNames"/>,
/// <see cref="Architecture.Tensors"/>), the model's shape and its vocabulary; <see cref="ModelFile"/> checks that they go together.
/// Disposing of it ends the life of its tensors.
/// </summary>
public abstract class ModelSource : IDisposable
{
    /// <summary>The path it was opened with, for errors and messages; a name of its own where there is no file.</summary>
    public abstract string Path { get; }

    /// <summary>The format in words, for listings: <c>GGUF version 3</c>.</summary>
    public abstract string Format { get; }

    /// <summary>Bytes of all its files; of all tensors where there are no files.</summary>
    public abstract long Bytes { get; }

    /// <summary>How many files hold the tensors; 1 where there are no files.</summary>
    public virtual int Shards => 1;

    /// <summary>The kind of its files; null where there are none.</summary>
    public virtual ModelFormat? FileFormat => null;

    /// <summary>Its files, as <see cref="ModelParts"/> orders them; empty where there are none.</summary>
    public virtual IReadOnlyList<ModelPart> Files => [];

    /// <summary>What the source says besides the tensors, for listings: numbers, bools, strings and arrays of them; may be empty.</summary>
    public virtual IEnumerable<KeyValuePair<string, object>> Entries => [];

    /// <summary>The tensors by name, in the source's order; empty where it is a vocabulary alone.</summary>
    /// <exception cref="InvalidInputException">They break a rule of the format.</exception>
    public abstract IReadOnlyDictionary<string, Tensor> Tensors { get; }

    /// <summary>The chat template, as Jinja source; null where there is none.</summary>
    /// <exception cref="InvalidInputException">It cannot be read.</exception>
    public virtual string? ChatTemplate => null;

    /// <summary>Opens a model file.</summary>
    /// <param name="path">A GGUF file, or any shard of a set; or a folder from Hugging Face, with config.json and safetensors.</param>
    /// <exception cref="InvalidInputException">A file is missing, unreadable or broken.</exception>
    public static ModelSource Open(string path) => Directory.Exists(path) ? HuggingFaceFolder.Open(path) : GgufFile.Open(path);

    /// <summary>The shape of the model.</summary>
    /// <exception cref="InvalidInputException">Its architecture is not known, or a value is missing or breaks a rule.</exception>
    public abstract ModelConfig ReadConfig();

    /// <summary>The vocabulary; it may be read where the rest is no model that runs.</summary>
    /// <exception cref="InvalidInputException">There is none, or it breaks a rule.</exception>
    public virtual Vocabulary ReadVocabulary() => throw new InvalidInputException("tokenizer", null, "is missing", Path);

    /// <summary>Feeds a hash with what tells this model apart from others, the path excepted. It need not read all weights.</summary>
    public abstract void AppendTo(IncrementalHash hash);

    /// <inheritdoc/>
    public abstract void Dispose();
}
