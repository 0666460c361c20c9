using System.Buffers;
using System.Text;

namespace Distributed.Core.Tokenization;

/// <summary>A stretch of a text that is a special token, or none.</summary>
/// <param name="Start">Where it starts.</param>
/// <param name="Length">Its length in characters.</param>
/// <param name="Token">The token; null for text.</param>
internal readonly record struct TextPiece(int Start, int Length, int? Token);

/// <summary>
/// Finds special tokens in a text. Longer tokens go first, wherever they stand: a short one that overlaps a long one further
/// right gives way to it.
/// </summary>
internal sealed class SpecialTokens
{
    private readonly Dictionary<string, Token> _tokens = new(StringComparer.Ordinal);
    private readonly Dictionary<char, int[]> _lengths;
    private readonly SearchValues<char> _firstCharacters;

    private SpecialTokens(IEnumerable<Token> tokens)
    {
        foreach (var token in tokens)
            _tokens.TryAdd(token.Name, token);
        _lengths = _tokens.Keys.GroupBy(name => name[0])
            .ToDictionary(names => names.Key, names => names.Select(name => name.Length).Distinct().ToArray());
        _firstCharacters = SearchValues.Create([.. _lengths.Keys]);
    }

    /// <summary>Those tokens of a vocabulary whose type is wanted.</summary>
    public static SpecialTokens Of(Vocabulary vocabulary, TokenType[] types, Func<TokenType, bool> wanted)
    {
        // No key says that Phi-3's special tokens swallow the white space behind them.
        var isPhi3 = vocabulary.ModelName.Contains("phi-3", StringComparison.OrdinalIgnoreCase)
            || vocabulary.ModelName.Contains("phi3", StringComparison.OrdinalIgnoreCase);
        return new SpecialTokens(Enumerable.Range(0, types.Length)
            .Where(id => wanted(types[id]) && vocabulary.Tokens[id].Length > 0)
            .Select(id => new Token(
                vocabulary.Tokens[id],
                id,
                Encoding.UTF8.GetByteCount(vocabulary.Tokens[id]),
                vocabulary.StripsRight?.Contains(id)
                    ?? (isPhi3 && vocabulary.Tokens[id] is not ("<s>" or "<unk>" or "<|endoftext|>")))));
    }

    /// <summary>Cuts a text at its special tokens; swallowed white space is in no piece.</summary>
    public List<TextPiece> Cut(string text)
    {
        var found = FindAll(text);
        if (found.Count == 0)
            return text.Length == 0 ? [] : [new TextPiece(0, text.Length, null)];

        // Longest first, by bytes as the reference counts; then from the left.
        found.Sort((a, b) => (-a.Token.Bytes, a.Token.Id, a.Start).CompareTo((-b.Token.Bytes, b.Token.Id, b.Start)));
        var taken = new bool[text.Length];
        var pieces = new List<TextPiece>();
        foreach (var (start, token) in found)
        {
            if (taken.AsSpan(start, token.Name.Length).Contains(true))
                continue;
            var end = start + token.Name.Length;
            pieces.Add(new TextPiece(start, token.Name.Length, token.Id));
            while (token.SwallowsWhiteSpace && end < text.Length && !taken[end] && text[end] is ' ' or (>= '\t' and <= '\r'))
                end++;
            taken.AsSpan(start, end - start).Fill(true);
        }
        AddText(taken, pieces);
        pieces.Sort((a, b) => a.Start.CompareTo(b.Start));
        return pieces;
    }

    private List<(int Start, Token Token)> FindAll(string text)
    {
        var found = new List<(int, Token)>();
        var byName = _tokens.GetAlternateLookup<ReadOnlySpan<char>>();
        for (var at = 0; at < text.Length; at++)
        {
            var next = text.AsSpan(at).IndexOfAny(_firstCharacters);
            if (next < 0)
                break;
            at += next;
            foreach (var length in _lengths[text[at]])
                if (length <= text.Length - at && byName.TryGetValue(text.AsSpan(at, length), out var token))
                    found.Add((at, token));
        }
        return found;
    }

    private static void AddText(bool[] taken, List<TextPiece> pieces)
    {
        for (var start = 0; start < taken.Length;)
        {
            var length = taken.AsSpan(start).IndexOf(!taken[start]);
            var end = length < 0 ? taken.Length : start + length;
            if (!taken[start])
                pieces.Add(new TextPiece(start, end - start, null));
            start = end;
        }
    }

    private sealed record Token(string Name, int Id, int Bytes, bool SwallowsWhiteSpace);
}
