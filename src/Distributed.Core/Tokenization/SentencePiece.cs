using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Distributed.Core.Tokenization;

/// <summary>
/// SentencePiece's byte-pair encoding (Kudo and Richardson 2018): the whole text is one word, its spaces are written U+2581,
/// neighbours that make up a token are merged, the token with the highest score first, and what is no token falls back to bytes.
/// Microsoft.ML.Tokenizers gives other ids where scores tie, as in a row of one letter: the reference takes the leftmost pair.
/// </summary>
internal sealed class SentencePiece : Tokenizer
{
    /// <summary>Its name in model files.</summary>
    public const string Model = "llama";

    private const char Space = '\u2581';
    private const int End = -1;
    private const int NoToken = -1;

    // What files leave out because it is always the same.
    private const int CustomaryUnknown = 0;
    private const int CustomaryBos = 1;
    private const int CustomaryEos = 2;

    private static readonly Comparer<Priority> HighestScoreFirst = Comparer<Priority>.Create(
        (a, b) => a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.At.CompareTo(b.At));

    private readonly int[] _byteIds = new int[256];
    private readonly int? _unknown;
    private readonly int _longest;
    private readonly bool _addsSpacePrefix;

    /// <param name="vocabulary">A checked one.</param>
    /// <exception cref="InvalidInputException">There are no scores.</exception>
    public SentencePiece(Vocabulary vocabulary)
        : base(
            vocabulary,
            vocabulary.BosId ?? IfThere(vocabulary, CustomaryBos),
            vocabulary.EosId ?? IfThere(vocabulary, CustomaryEos),
            addsBos: true)
    {
        if (vocabulary.Scores.Count == 0)
            throw new InvalidInputException(
                "tokenizer.ggml.scores", null, "is missing; it must have one value for each token", vocabulary.Source);
        _addsSpacePrefix = vocabulary.AddsSpacePrefix ?? true;
        _unknown = vocabulary.UnknownId ?? IfThere(vocabulary, CustomaryUnknown);
        _longest = vocabulary.Tokens.Max(token => token.Length);
        for (var b = 0; b < _byteIds.Length; b++)
            _byteIds[b] = Ids.GetValueOrDefault($"<0x{b:X2}>", NoToken);
    }

    /// <inheritdoc/>
    public override string Detokenize(IEnumerable<int> ids)
    {
        var text = Decode(ids);
        return _addsSpacePrefix && text.StartsWith(' ') ? text[1..] : text;
    }

    /// <inheritdoc/>
    private protected override byte[] DecodeToken(int id, TokenType type)
    {
        var token = Vocabulary.Tokens[id];
        return type == TokenType.Byte && token.Length == 6
            && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value)
            ? [value]
            : Encoding.UTF8.GetBytes(token.Replace(Space, ' '));
    }

    /// <inheritdoc/>
    private protected override void EncodeText(ReadOnlySpan<char> text, bool afterSpecial, List<int> ids)
    {
        var prefix = _addsSpacePrefix && afterSpecial ? 1 : 0;
        var buffer = ArrayPool<char>.Shared.Rent(text.Length + prefix);
        buffer[0] = Space;
        text.Replace(buffer.AsSpan(prefix), ' ', Space);
        Merge(buffer.AsSpan(0, text.Length + prefix), ids);
        ArrayPool<char>.Shared.Return(buffer);
    }

    private void Merge(ReadOnlySpan<char> text, List<int> ids)
    {
        var symbols = CutIntoCharacters(text);
        var queue = new PriorityQueue<Pair, Priority>(HighestScoreFirst);
        for (var i = 0; i < symbols.Count - 1; i++)
            Offer(text, symbols, i, queue);

        var all = CollectionsMarshal.AsSpan(symbols);
        while (queue.TryDequeue(out var pair, out _))
        {
            // Symbols only grow, so a pair is stale exactly when its length is another one now.
            ref var left = ref all[pair.At];
            if (left.Length == 0 || left.Next == End || left.Length + all[left.Next].Length != pair.Length)
                continue;
            ref var right = ref all[left.Next];
            left.Length += right.Length;
            left.Next = right.Next;
            right.Length = 0;
            if (left.Next != End)
                all[left.Next].Previous = pair.At;
            if (left.Previous != End)
                Offer(text, symbols, left.Previous, queue);
            Offer(text, symbols, pair.At, queue);
        }

        for (var i = 0; i != End; i = all[i].Next)
            AddSymbol(text.Slice(all[i].Start, all[i].Length), ids);
    }

    private static List<Symbol> CutIntoCharacters(ReadOnlySpan<char> text)
    {
        var symbols = new List<Symbol>(text.Length);
        for (var at = 0; at < text.Length;)
        {
            var length = char.IsHighSurrogate(text[at]) ? 2 : 1;
            var next = at + length < text.Length ? symbols.Count + 1 : End;
            symbols.Add(new Symbol { Start = at, Length = length, Previous = symbols.Count - 1, Next = next });
            at += length;
        }
        return symbols;
    }

    private void Offer(ReadOnlySpan<char> text, List<Symbol> symbols, int at, PriorityQueue<Pair, Priority> queue)
    {
        var left = symbols[at];
        if (left.Next == End)
            return;
        var length = left.Length + symbols[left.Next].Length;
        if (length <= _longest && Ids.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(text.Slice(left.Start, length), out var id))
            queue.Enqueue(new Pair(at, length), new Priority(Vocabulary.Scores[id], at));
    }

    private void AddSymbol(ReadOnlySpan<char> symbol, List<int> ids)
    {
        if (Ids.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(symbol, out var id))
        {
            ids.Add(id);
            return;
        }
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var value in utf8[..Encoding.UTF8.GetBytes(symbol, utf8)])
            if (_byteIds[value] != NoToken)
                ids.Add(_byteIds[value]);
            else if (_unknown is { } unknown)
                ids.Add(unknown);
    }

    private static int? IfThere(Vocabulary vocabulary, int id) => id < vocabulary.Tokens.Count ? id : null;

    private struct Symbol
    {
        public int Start;
        public int Length;
        public int Previous;
        public int Next;
    }

    private readonly record struct Pair(int At, int Length);

    private readonly record struct Priority(float Score, int At);
}
