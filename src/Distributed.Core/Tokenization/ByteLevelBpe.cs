using System.Buffers;
using System.Text;
using System.Text.RegularExpressions;

namespace Distributed.Core.Tokenization;

/// <summary>
/// Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019): a text is cut into words, and inside each word
/// neighbouring tokens are merged, the pair that stands first in the list of merges first.
/// </summary>
internal sealed partial class ByteLevelBpe : Tokenizer
{
    /// <summary>Its name in model files.</summary>
    public const string Model = "gpt2";

    private readonly PreTokenizer _words;
    private readonly bool _takesWholeTokens;
    private readonly BpeMerges _merges;
    private readonly int[] _byteIds = new int[256];

    /// <param name="vocabulary">A checked one.</param>
    /// <exception cref="InvalidInputException">The way of cutting is not known, or a merge is malformed.</exception>
    public ByteLevelBpe(Vocabulary vocabulary)
        : this(vocabulary, PreTokenizers.Find(vocabulary))
    {
    }

    private ByteLevelBpe(Vocabulary vocabulary, PreTokenizer words)
        : base(vocabulary, words.HasNoBos ? null : vocabulary.BosId, vocabulary.EosId, words.AddsBos)
    {
        _words = words;
        _takesWholeTokens = vocabulary.TakesWholeTokens ?? words.TakesWholeTokens;
        _merges = new BpeMerges(vocabulary, Ids);
        for (var b = 0; b < _byteIds.Length; b++)
            _byteIds[b] = Ids.GetValueOrDefault($"{ByteAlphabet.CharOf((byte)b)}", BpeMerges.NoToken);
    }

    /// <inheritdoc/>
    public override string Detokenize(IEnumerable<int> ids)
    {
        var text = Decode(ids);
        if (!_words.CleansSpaces)
            return text;
        text = SpaceBeforePunctuation().Replace(text, "");
        text = text.Replace(" ' ", "'", StringComparison.Ordinal);
        return SpaceBeforeContraction().Replace(text, "");
    }

    /// <inheritdoc/>
    private protected override void EncodeText(ReadOnlySpan<char> text, bool afterSpecial, List<int> ids)
    {
        var ends = new List<int>();
        _words.Cut(text, ends);

        var merging = new BpeMerging(_merges);
        var bytes = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(256));
        var start = 0;
        foreach (var end in ends)
        {
            var word = text[start..end];
            start = end;
            if (Encoding.UTF8.GetMaxByteCount(word.Length) > bytes.Length)
            {
                ArrayPool<byte>.Shared.Return(bytes);
                bytes = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(word.Length));
            }
            var utf8 = bytes.AsSpan(0, Encoding.UTF8.GetBytes(word, bytes));
            if (_takesWholeTokens && FindWhole(utf8) is { } whole)
                ids.Add(whole);
            else
                merging.Encode(utf8, _byteIds, ids);
        }
        ArrayPool<byte>.Shared.Return(bytes);
    }

    /// <inheritdoc/>
    private protected override byte[] DecodeToken(int id, TokenType type) => ByteAlphabet.Decode(Vocabulary.Tokens[id]);

    private int? FindWhole(ReadOnlySpan<byte> word)
    {
        const int LongestOnStack = 512;
        var name = word.Length <= LongestOnStack ? stackalloc char[word.Length] : new char[word.Length];
        for (var i = 0; i < word.Length; i++)
            name[i] = ByteAlphabet.CharOf(word[i]);
        return Ids.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(name, out var id) ? id : null;
    }

    [GeneratedRegex(" (?=[?!.,])", RegexOptions.CultureInvariant)]
    private static partial Regex SpaceBeforePunctuation();

    [GeneratedRegex(" (?='(?:s|m|re|ve))", RegexOptions.CultureInvariant)]
    private static partial Regex SpaceBeforeContraction();
}
