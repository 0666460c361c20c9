using System.Text;
using Distributed.Core.Tokenization;

namespace Distributed.Core.Tests.Tokenization;

/// <summary>Vocabularies small enough to count through.</summary>
internal static class TinyVocabulary
{
    /// <summary>Byte-level BPE without merges: the letters a to z as ids 0 to 25, then what is given.</summary>
    public static Vocabulary Letters(params (string Token, TokenType Type)[] more) => new()
    {
        Model = "gpt2",
        Pre = "gpt-2",
        Tokens = [.. Enumerable.Range('a', 26).Select(letter => $"{(char)letter}"), .. more.Select(token => token.Token)],
        Types = [.. Enumerable.Repeat(TokenType.Normal, 26), .. more.Select(token => token.Type)],
    };

    /// <summary>Byte-level BPE that merges any stretch of <paramref name="text"/>, however it is begun, into one token.</summary>
    /// <param name="text">A short text.</param>
    /// <param name="bytes">How the vocabulary writes each byte.</param>
    public static Vocabulary Joining(string text, string[] bytes)
    {
        var written = string.Concat(Encoding.UTF8.GetBytes(text).Select(value => bytes[value]));
        var stretches = new HashSet<string>();
        for (var start = 0; start < written.Length; start++)
            for (var end = start + 2; end <= written.Length; end++)
                stretches.Add(written[start..end]);
        return new Vocabulary
        {
            Model = "gpt2",
            Tokens = [.. bytes, .. stretches],
            Merges = [.. stretches.SelectMany(stretch => Enumerable.Range(1, stretch.Length - 1).Select(at => stretch.Insert(at, " ")))],
        };
    }

    /// <summary>SentencePiece with four pieces besides the customary unknown, BOS and EOS.</summary>
    public static Vocabulary Pieces() => new()
    {
        Model = "llama",
        Tokens = ["<unk>", "<s>", "</s>", "▁", "a", "b", "ab"],
        Types = [TokenType.Unknown, TokenType.Control, TokenType.Control, .. Enumerable.Repeat(TokenType.Normal, 4)],
        Scores = [0, 0, 0, -1, -2, -3, -4],
    };
}
