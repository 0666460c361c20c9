namespace Distributed.Core;

/// <summary>How a rotary embedding pairs up the values of a head.</summary>
public enum RopePairs
{
    /// <summary>Neighbours: (2i, 2i+1).</summary>
    Neighbours,

    /// <summary>Halves: (i, i + n/2).</summary>
    Halves,
}

/// <summary>Rotary position embedding (Su et al. 2021) and its scalings for long contexts.</summary>
/// <param name="Theta">The base of the frequencies.</param>
/// <param name="Dimensions">How many values of each head are rotated; the rest pass through.</param>
/// <param name="Pairs">Which values form a pair.</param>
/// <param name="LinearFactor">Positions are divided by this; 1 means no scaling.</param>
public sealed record RopeConfig(float Theta, int Dimensions, RopePairs Pairs, float LinearFactor = 1);

/// <summary>The shape of a model: all that a file's metadata says about the forward pass.</summary>
public sealed record ModelConfig
{
    /// <summary>The name in <c>general.architecture</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary><c>general.name</c>, or the file's name where it has none.</summary>
    public required string Name { get; init; }

    /// <summary>Values in a hidden state.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width of the feed-forward network.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Transformer layers.</summary>
    public required int NumLayers { get; init; }

    /// <summary>Query heads.</summary>
    public required int NumHeads { get; init; }

    /// <summary>Key and value heads (grouped-query attention); divides <see cref="NumHeads"/>.</summary>
    public required int NumKvHeads { get; init; }

    /// <summary>Values per head.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Tokens in the vocabulary.</summary>
    public required int VocabSize { get; init; }

    /// <summary>The longest context the model was trained for, in tokens.</summary>
    public required int ContextLength { get; init; }

    /// <summary>The epsilon of every RMS norm.</summary>
    public required float RmsNormEps { get; init; }

    /// <summary>The rotary embedding.</summary>
    public required RopeConfig Rope { get; init; }

    /// <summary>Values of one token's keys (or values) in one layer: <see cref="NumKvHeads"/> × <see cref="HeadDim"/>.</summary>
    public int KvSize => NumKvHeads * HeadDim;

    /// <summary>Values of one token's queries in one layer: <see cref="NumHeads"/> × <see cref="HeadDim"/>.</summary>
    public int QuerySize => NumHeads * HeadDim;
}
