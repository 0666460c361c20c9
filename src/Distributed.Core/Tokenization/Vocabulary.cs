namespace Distributed.Core.Tokenization;

/// <summary>What a model file says about its tokens.</summary>
public sealed record Vocabulary
{
    /// <summary>The most tokens a file may have: four times what the largest vocabularies have.</summary>
    public const int MaxTokens = 1 << 20;

    /// <summary>The file, for errors; null where there is none.</summary>
    public string? Source { get; init; }

    /// <summary><c>tokenizer.ggml.model</c>: the algorithm, <c>gpt2</c> or <c>llama</c>.</summary>
    public required string Model { get; init; }

    /// <summary><c>tokenizer.ggml.pre</c>: how byte-level BPE cuts a text into words first.</summary>
    public string Pre { get; init; } = "default";

    /// <summary><c>general.name</c>: a few models have habits that only their name tells.</summary>
    public string ModelName { get; init; } = "";

    /// <summary>
    /// The tokens by id, all different. Byte-level BPE writes bytes as <see cref="ByteAlphabet"/> says, SentencePiece a space as
    /// U+2581.
    /// </summary>
    public required IReadOnlyList<string> Tokens { get; init; }

    /// <summary>The type of each token; empty where the file has none, then all are <see cref="TokenType.Normal"/>.</summary>
    public IReadOnlyList<TokenType> Types { get; init; } = [];

    /// <summary>The score of each token, the higher the earlier it is merged; SentencePiece only.</summary>
    public IReadOnlyList<float> Scores { get; init; } = [];

    /// <summary>Pairs of tokens to merge, <c>left right</c>, the first first; byte-level BPE only.</summary>
    public IReadOnlyList<string> Merges { get; init; } = [];

    /// <summary>Beginning of sequence; null where there is none.</summary>
    public int? BosId { get; init; }

    /// <summary>End of sequence; null where there is none.</summary>
    public int? EosId { get; init; }

    /// <summary>End of turn; null where there is none.</summary>
    public int? EotId { get; init; }

    /// <summary>End of message; null where there is none.</summary>
    public int? EomId { get; init; }

    /// <summary>More tokens at which generation stops; empty for none.</summary>
    public IReadOnlyList<int> EndIds { get; init; } = [];

    /// <summary>Special tokens that swallow the white space behind them; null leaves it to the model's name.</summary>
    public IReadOnlySet<int>? StripsRight { get; init; }

    /// <summary>Whether a word that is a token is taken whole, whatever the merges say; null leaves it to <see cref="Pre"/>.</summary>
    public bool? TakesWholeTokens { get; init; }

    /// <summary>What stands for text that cannot be written; null where there is none.</summary>
    public int? UnknownId { get; init; }

    /// <summary>Whether BOS goes in front; null leaves it to the tokenizer's custom.</summary>
    public bool? AddsBos { get; init; }

    /// <summary>Whether EOS goes behind; null leaves it to the tokenizer's custom.</summary>
    public bool? AddsEos { get; init; }

    /// <summary>Whether a space goes in front of a text; null leaves it to the tokenizer's custom.</summary>
    public bool? AddsSpacePrefix { get; init; }
}
