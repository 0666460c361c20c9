namespace Distributed.Core;

/// <summary>How a rotary embedding pairs up the values of a head.</summary>
public enum RopePairs
{
    /// <summary>Neighbours: (2i, 2i+1).</summary>
    Neighbours,

    /// <summary>Halves: (i, i + n/2).</summary>
    Halves,

    /// <summary>Halves, (i, i + n/2), that are put where neighbours would be, (2i, 2i+1); n is the whole head.</summary>
    HalvesToNeighbours,
}

/// <summary>Rotary position embedding (Su et al. 2021) and its scalings for long contexts.</summary>
/// <param name="Theta">The base of the frequencies.</param>
/// <param name="Dimensions">How many values of each head are rotated; the rest pass through.</param>
/// <param name="Pairs">Which values form a pair.</param>
/// <param name="LinearFactor">Positions are divided by this; 1 means no scaling.</param>
/// <param name="Magnitude">What sines and cosines are multiplied by.</param>
/// <param name="OriginalContext">The context before it was lengthened, in tokens; null where a file does not say.</param>
/// <param name="Yarn">How YaRN scales low frequencies more than high ones; null where it does not.</param>
public sealed record RopeConfig(
    float Theta, int Dimensions, RopePairs Pairs, float LinearFactor = 1, float Magnitude = 1, int? OriginalContext = null,
    YarnConfig? Yarn = null);

/// <summary>
/// YaRN (Peng et al. 2023): frequencies that turn less than <paramref name="BetaSlow"/> times in the original context are divided by
/// <see cref="RopeConfig.LinearFactor"/>, those that turn more than <paramref name="BetaFast"/> times stay, between them it blends.
/// </summary>
public sealed record YarnConfig(float BetaFast = 32, float BetaSlow = 1);

/// <summary>The experts of a mixture, each a feed-forward network of its own (Shazeer et al. 2017).</summary>
/// <param name="Count">Experts in a layer.</param>
/// <param name="PerToken">Experts that each token goes to.</param>
/// <param name="IntermediateSize">Width of one expert.</param>
/// <param name="OverChosen">The weights of a token's experts add up to 1; else they are those of a softmax over all experts.</param>
public sealed record ExpertsConfig(int Count, int PerToken, int IntermediateSize, bool OverChosen = true);

/// <summary>The shape of a model: all that a file's metadata says about the forward pass.</summary>
public sealed record ModelConfig
{
    /// <summary>The most that <see cref="HeadDim"/> may be; kernels keep a head's values on the stack.</summary>
    public const int MaxHeadDim = 512;

    /// <summary>The name in <c>general.architecture</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary><c>general.name</c>, or the file's name where it has none.</summary>
    public required string Name { get; init; }

    /// <summary>Values in a hidden state.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width of the feed-forward network; with experts, of one expert where a file gives no other.</summary>
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

    /// <summary>The epsilon of every norm.</summary>
    public required float RmsNormEps { get; init; }

    /// <summary>The rotary embedding.</summary>
    public required RopeConfig Rope { get; init; }

    /// <summary>The rotary embedding of layers with a window; null for that of the others.</summary>
    public RopeConfig? LocalRope { get; init; }

    /// <summary>The experts in place of the feed-forward network; null for none.</summary>
    public ExpertsConfig? Experts { get; init; }

    /// <summary>Keys that a query sees in layers with a window, its own included; null where a file does not say.</summary>
    public int? SlidingWindow { get; init; }

    /// <summary>Layers of which the last sees all keys and the others a window; null for the architecture's default.</summary>
    public int? LayersPerGlobalOne { get; init; }

    /// <summary>What q·k is multiplied by; null for the architecture's default.</summary>
    public float? AttentionScale { get; init; }

    /// <summary>The soft cap of attention scores; null for the architecture's default.</summary>
    public float? AttentionSoftCap { get; init; }

    /// <summary>The soft cap of logits; null for the architecture's default.</summary>
    public float? LogitSoftCap { get; init; }

    /// <summary>The factor on embeddings; null for the architecture's default.</summary>
    public float? EmbeddingScale { get; init; }

    /// <summary>The factor on what attention and the feed-forward network add to the hidden state; null for 1.</summary>
    public float? ResidualScale { get; init; }

    /// <summary>The factor on logits (in some architectures a divisor); null for 1.</summary>
    public float? LogitScale { get; init; }

    /// <summary>Values of one token's keys (or values) in one layer: <see cref="NumKvHeads"/> × <see cref="HeadDim"/>.</summary>
    public int KvSize => NumKvHeads * HeadDim;

    /// <summary>Values of one token's queries in one layer: <see cref="NumHeads"/> × <see cref="HeadDim"/>.</summary>
    public int QuerySize => NumHeads * HeadDim;
}
