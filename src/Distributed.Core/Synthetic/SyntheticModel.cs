using System.Security.Cryptography;
using System.Text;
using Distributed.Core.Gguf;
using Distributed.Core.Tokenization;

namespace Distributed.Core.Synthetic;

/// <summary>
/// A model of random weights, made in memory: as large and as fast as a real one of its shape, and nothing else like it. Values are
/// of ordinary size all the way, so that kernels meet what they meet in a real model.
/// </summary>
/// <param name="plan">What it is to be.</param>
/// <param name="seed">The same seed gives the same weights.</param>
/// <param name="cancellation">Gives up.</param>
/// <exception cref="OutOfMemoryException">There is too little memory; <see cref="SyntheticPlan.Bytes"/> tells before.</exception>
public sealed class SyntheticModel(SyntheticPlan plan, ulong seed, CancellationToken cancellation = default) : ModelSource
{
    private readonly SyntheticWeights _weights = new(plan, seed, cancellation);

    /// <summary>The name of its shape and of its formats.</summary>
    public override string Path => $"{plan.Config.Name}:{plan.Types.Name}";

    /// <inheritdoc/>
    public override string Format => "random weights";

    /// <inheritdoc/>
    public override long Bytes => plan.Bytes;

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> Tensors => _weights.Tensors;

    /// <inheritdoc/>
    public override ModelConfig ReadConfig() => plan.Config;

    /// <inheritdoc/>
    public override Vocabulary ReadVocabulary() => SyntheticVocabulary.Create(plan.Config.VocabSize);

    /// <summary>Its name and its seed: they say all.</summary>
    public override void AppendTo(IncrementalHash hash) => hash.AppendData(Encoding.UTF8.GetBytes($"{Path} {seed}"));

    /// <summary>Writes it as a GGUF file that this program and llama.cpp read.</summary>
    /// <param name="stream">What to write to; it knows its position.</param>
    /// <param name="cancellation">Gives up between two tensors.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void Save(Stream stream, CancellationToken cancellation = default)
    {
        var writer = new GgufWriter();
        SyntheticMetadata.Write(writer, plan);
        foreach (var tensor in Tensors.Values)
            writer.Add(tensor.Name, tensor.Type, tensor.Dimensions, target =>
            {
                cancellation.ThrowIfCancellationRequested();
                for (var row = 0L; row < tensor.Rows; row++)
                    target.Write(tensor.Row(row));
            });
        writer.Write(stream);
    }

    /// <inheritdoc/>
    public override void Dispose() => _weights.Dispose();
}
