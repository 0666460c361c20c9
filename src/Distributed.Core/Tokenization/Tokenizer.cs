using System.Text;

namespace Distributed.Core.Tokenization;

/// <summary>
/// Text to token ids and back, as a model file's metadata describes it. The ids are llama.cpp's. Instances do not change and
/// may be used by many threads at once.
/// </summary>
public abstract class Tokenizer
{
    private static readonly (string Model, Func<Vocabulary, Tokenizer> Create)[] Models =
    [
        (ByteLevelBpe.Model, vocabulary => new ByteLevelBpe(vocabulary)),
        (SentencePiece.Model, vocabulary => new SentencePiece(vocabulary)),
    ];

    private readonly TokenType[] _types;
    private readonly byte[]?[] _bytes;
    private readonly HashSet<int> _endOfGeneration;
    private readonly SpecialTokens _special;
    private readonly SpecialTokens _userDefined;

    /// <param name="vocabulary">What the file says.</param>
    /// <param name="bosId">BOS, where the tokenizer has one.</param>
    /// <param name="eosId">EOS, where the tokenizer has one.</param>
    /// <param name="addsBos">Whether BOS goes in front, unless the file says otherwise.</param>
    private protected Tokenizer(Vocabulary vocabulary, int? bosId, int? eosId, bool addsBos)
    {
        Vocabulary = vocabulary;
        VocabSize = vocabulary.Tokens.Count;
        BosId = bosId;
        EosId = eosId;
        AddsBos = bosId is not null && (vocabulary.AddsBos ?? addsBos);
        AddsEos = eosId is not null && (vocabulary.AddsEos ?? false);
        Ids = TokensById(vocabulary.Tokens);

        _types = KnownTokens.CorrectTypes(vocabulary);
        _bytes = new byte[VocabSize][];
        _endOfGeneration = KnownTokens.EndOfGeneration(vocabulary, Ids, eosId);
        _special = SpecialTokens.Of(vocabulary, _types, HasName);
        _userDefined = SpecialTokens.Of(vocabulary, _types, type => type == TokenType.UserDefined);
    }

    /// <summary>Tokens in the vocabulary.</summary>
    public int VocabSize { get; }

    /// <summary>The beginning-of-sequence token; null where the model has none.</summary>
    public int? BosId { get; }

    /// <summary>The end-of-sequence token; null where the model has none.</summary>
    public int? EosId { get; }

    /// <summary>Whether the model wants <see cref="BosId"/> in front of a prompt.</summary>
    public bool AddsBos { get; }

    /// <summary>Whether the model wants <see cref="EosId"/> behind a text.</summary>
    public bool AddsEos { get; }

    /// <summary>What the file says.</summary>
    private protected Vocabulary Vocabulary { get; }

    /// <summary>Tokens, as the file writes them, to ids.</summary>
    private protected Dictionary<string, int> Ids { get; }

    /// <summary>The tokenizer of a vocabulary.</summary>
    /// <exception cref="InvalidInputException">Its algorithm or its way of cutting is not known, or it breaks a rule.</exception>
    public static Tokenizer FromVocabulary(Vocabulary vocabulary)
    {
        var row = Array.Find(Models, row => row.Model == vocabulary.Model);
        if (row.Create is null)
            throw new InvalidInputException(
                "tokenizer.ggml.model",
                vocabulary.Model,
                $"must be one of {string.Join(", ", Models.Select(known => known.Model))}",
                vocabulary.Source);
        VocabularyRules.Check(vocabulary);
        return row.Create(vocabulary);
    }

    /// <summary>Ids of <paramref name="text"/>.</summary>
    /// <param name="text">Any text; half a surrogate pair counts as U+FFFD.</param>
    /// <param name="special">Read special tokens such as <c>&lt;|im_end|&gt;</c> in the text as such, not as plain text.</param>
    /// <param name="addBosEos">Add what the model adds (<see cref="AddsBos"/>, <see cref="AddsEos"/>).</param>
    public int[] Encode(string text, bool special = false, bool addBosEos = false)
    {
        if (text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') >= 0)
            text = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));

        var ids = new List<int>(8 + (text.Length / 3));
        if (addBosEos && AddsBos)
            ids.Add(BosId!.Value);
        var afterSpecial = true;
        foreach (var piece in (special ? _special : _userDefined).Cut(text))
        {
            if (piece.Token is { } token)
                ids.Add(token);
            else
                EncodeText(text.AsSpan(piece.Start, piece.Length), afterSpecial, ids);
            afterSpecial = piece.Token is not null;
        }
        if (addBosEos && AddsEos)
            ids.Add(EosId!.Value);
        return [.. ids];
    }

    /// <summary>The bytes a token stands for in running text; special tokens give their name as UTF-8.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such token.</exception>
    public ReadOnlyMemory<byte> TokenBytes(int id)
    {
        var type = TypeOf(id);
        return _bytes[id] ??= HasName(type) ? Encoding.UTF8.GetBytes(Vocabulary.Tokens[id]) : DecodeToken(id, type);
    }

    /// <summary>The pieces of the ids joined, as UTF-8 text; bytes that are no UTF-8 become U+FFFD.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such token.</exception>
    public string Decode(IEnumerable<int> ids)
    {
        var bytes = new List<byte>();
        foreach (var id in ids)
            bytes.AddRange(TokenBytes(id).Span);
        return Encoding.UTF8.GetString([.. bytes]);
    }

    /// <summary>
    /// <see cref="Decode"/>, then what the model's tokenizer does to whole texts: the space that it puts in front is taken
    /// away again, or spaces before punctuation are. A model's answer must not be treated so, for its text streams.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such token.</exception>
    public abstract string Detokenize(IEnumerable<int> ids);

    /// <summary>Whether a token steers the model and is not part of a text: it is never printed.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such token.</exception>
    public bool IsSpecial(int id) => TypeOf(id) is TokenType.Control or TokenType.Unknown;

    /// <summary>Whether generation stops at this token (end of sequence, end of turn).</summary>
    public bool IsEndOfGeneration(int id) => _endOfGeneration.Contains(id);

    /// <summary>The id of a special token by its exact name, e.g. <c>&lt;|im_end|&gt;</c>; null when there is none.</summary>
    public int? FindSpecial(string name) => Ids.TryGetValue(name, out var id) && HasName(_types[id]) ? id : null;

    /// <summary>Appends the ids of a text without special tokens.</summary>
    /// <param name="text">Well-formed UTF-16, not empty.</param>
    /// <param name="afterSpecial">It stands at the beginning or behind a special token.</param>
    /// <param name="ids">Gets the ids.</param>
    private protected abstract void EncodeText(ReadOnlySpan<char> text, bool afterSpecial, List<int> ids);

    /// <summary>The bytes of a token that is text.</summary>
    private protected abstract byte[] DecodeToken(int id, TokenType type);

    private static bool HasName(TokenType type) => type is TokenType.Control or TokenType.Unknown or TokenType.UserDefined;

    private TokenType TypeOf(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, VocabSize);
        return _types[id];
    }

    private static Dictionary<string, int> TokensById(IReadOnlyList<string> tokens)
    {
        var ids = new Dictionary<string, int>(tokens.Count, StringComparer.Ordinal);
        for (var id = 0; id < tokens.Count; id++)
            ids.TryAdd(tokens[id], id);
        return ids;
    }
}
