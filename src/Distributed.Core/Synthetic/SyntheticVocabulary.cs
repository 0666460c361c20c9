using Distributed.Core.Tokenization;

namespace Distributed.Core.Synthetic;

/// <summary>The smallest vocabulary that SentencePiece tokenizers accept, filled up with made-up words to the size of a model.</summary>
internal static class SyntheticVocabulary
{
    private const int FirstByte = 3;
    private const int Space = FirstByte + 256;
    private const int FirstWord = Space + 1;

    /// <summary>The fewest tokens: three with a meaning, one for each byte, and the space.</summary>
    public const int MinTokens = FirstWord;

    /// <summary>A vocabulary of as many tokens.</summary>
    public static Vocabulary Create(int tokens) => new()
    {
        Model = "llama",
        Source = "synthetic",
        Tokens = [.. Enumerable.Range(0, tokens).Select(Token)],
        Types = [.. Enumerable.Range(0, tokens).Select(Type)],
        // Lower scores are merged later; none of the words is ever made of its parts.
        Scores = [.. Enumerable.Range(0, tokens).Select(id => id < Space ? 0f : Space - id)],
        UnknownId = 0,
        BosId = 1,
        EosId = 2,
    };

    private static string Token(int id) => id switch
    {
        0 => "<unk>",
        1 => "<s>",
        2 => "</s>",
        < Space => $"<0x{id - FirstByte:X2}>",
        Space => "▁",
        _ => $"▁{id}",
    };

    private static TokenType Type(int id) => id switch
    {
        0 => TokenType.Unknown,
        1 or 2 => TokenType.Control,
        < Space => TokenType.Byte,
        _ => TokenType.Normal,
    };
}
