namespace Distributed.Core.Tokenization;

/// <summary>
/// The known ways to cut a text, by their names in model files. They cut as llama.cpp does, whose ids are the reference; where
/// that differs from the tokenizer a model was published with (case is told apart in ASCII only, <c>~</c> is no symbol), a
/// comment says so.
/// </summary>
internal static class PreTokenizers
{
    private const string Contraction = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]";
    private const string Gpt2Words = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    private const string Spaces = @"\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string Prefix = @"[^\r\n\p{L}\p{N}]?";
    private const string Symbols = @" ?[^\s\p{L}\p{N}]+[\r\n]*";

    // Upper case, then lower; letters beyond ASCII pass for both.
    private const string CasedWord = @"(?:[\p{L}-[a-z]]*[\p{L}-[A-Z]]+|[\p{L}-[a-z]]+[\p{L}-[A-Z]]*)";

    // The blocks of Chinese characters, which is a little less than the script.
    private const string Han = @"[\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF]";
    private const string NoHan = @"[\p{L}-[\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF]]";

    private const string CjkRun = @"[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF-[\s]]+";

    // Letters that have a case, as Unicode knew them then; À stands in for those beyond the Basic Multilingual Plane.
    private const string DeepSeekLetters =
        @"A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-\u0373\u0376\u0377" +
        @"\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5" +
        @"\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45" +
        @"\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC" +
        @"\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126" +
        @"\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE" +
        @"\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17" +
        @"\uFF21-\uFF3A\uFF41-\uFF5A";

    private static readonly PreTokenizer[] Table =
    [
        new("default", @"[\p{P}$+<=>^~|]+", Gpt2Words, @"\p{N}+", "[0-9]{3}") { CleansSpaces = true },
        new("gpt-2", Gpt2Words) { CleansSpaces = true },
        new("mpt", Gpt2Words) { CleansSpaces = true },
        new("falcon", @"[\p{P}$+<=>^~|`]+", Gpt2Words, "[0-9]{3}") { CleansSpaces = true },
        new("starcoder", @"\p{N}", Gpt2Words) { CleansSpaces = true },
        new("smollm", @"\p{N}", Gpt2Words),
        new("llama-bpe", $@"{Contraction}|{Prefix}\p{{L}}+|\p{{N}}{{1,3}}|{Symbols}|{Spaces}")
        {
            TakesWholeTokens = true,
            AddsBos = true,
            CleansSpaces = true,
        },
        new("chatglm-bpe", $@"{Contraction}|{Prefix}\p{{L}}+|\p{{N}}{{1,3}}|{Symbols}|{Spaces}") { HasNoBos = true, CleansSpaces = true },
        new("qwen2", $@"{Contraction}|{Prefix}\p{{L}}+|\p{{N}}|{Symbols}|{Spaces}"),
        new("qwen35", $@"{Contraction}|{Prefix}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{Spaces}"),
        new("gpt-4o", $@"{Prefix}{CasedWord}(?:{Contraction})?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{Spaces}"),
        new("tekken", $@"{Prefix}{CasedWord}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{Spaces}") { TakesWholeTokens = true, AddsBos = true },
        new("kimi-k2", $@"{Han}+|{Prefix}{NoHan}+(?:{Contraction})?|\p{{N}}{{1,3}}|{Symbols}|{Spaces}"),
        new("deepseek-llm",
            @"[\r\n]",
            $@"\s?[{DeepSeekLetters}]+",
            @"\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3001\u3002]+",
            @"(?<!\s)\s+\z",
            CjkRun,
            @"\p{N}+"),
        new("deepseek-coder", @"[\r\n]", @"\s?\p{L}+", @"\s?\p{P}+", CjkRun, @"\p{N}"),
        new("deepseek-v3",
            @"\p{N}{1,3}",
            @"[\u4E00-\u9FA5\u3040-\u30FF]+",
            $@"[!-/:-@\[-`{{-~][A-Za-z]+|(?:[^\r\n\p{{L}}\p{{P}}\p{{S}}]|~)?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}-[~]]+[\r\n]*|{Spaces}"),
    ];

    /// <summary>The one that a vocabulary names.</summary>
    /// <exception cref="InvalidInputException">It is not known.</exception>
    public static PreTokenizer Find(Vocabulary vocabulary) => Array.Find(Table, row => row.Name == vocabulary.Pre)
        ?? throw new InvalidInputException(
            "tokenizer.ggml.pre",
            vocabulary.Pre,
            $"must be one of {string.Join(", ", Table.Select(row => row.Name))}",
            vocabulary.Source);

    /// <summary>Whether a code point beyond the Basic Multilingual Plane is a Chinese character, by the blocks that hold them.</summary>
    public static bool IsHan(int codePoint) =>
        codePoint is (>= 0x20000 and <= 0x2A6DF) or (>= 0x2A700 and <= 0x2EBEF) or (>= 0x2F800 and <= 0x2FA1F)
            or (>= 0x30000 and <= 0x3134F);

    /// <summary>Whether a code point beyond the Basic Multilingual Plane belongs to DeepSeek's letters.</summary>
    public static bool IsDeepSeekLetter(int codePoint) =>
        codePoint is (>= 0x10400 and <= 0x1044F) or (>= 0x104B0 and <= 0x104D3) or (>= 0x104D8 and <= 0x104FB)
            or (>= 0x10C80 and <= 0x10CB2) or (>= 0x10CC0 and <= 0x10CF2) or (>= 0x118A0 and <= 0x118DF) or (>= 0x1E900 and <= 0x1E943);
}
