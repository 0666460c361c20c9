using System.Text.Json;
using Distributed.Core.Tokenization;

namespace Distributed.Core.HuggingFace;

/// <summary>
/// Reads a folder's vocabulary: <c>tokenizer.json</c> (https://huggingface.co/docs/tokenizers) has tokens, merges and the way of
/// cutting, the files beside it say which tokens begin and end a text. Ids are those of the GGUF made from it.
/// </summary>
internal sealed class HuggingFaceVocabulary
{
    private const string FileName = "tokenizer.json";

    private static readonly string[] SettingNames = ["tokenizer_config.json", "special_tokens_map.json"];

    private readonly string _path;
    private readonly JsonElement _json;
    private readonly JsonElement _model;
    private readonly JsonElement[] _settings;
    private readonly JsonElement _config;
    private readonly JsonElement? _generation;
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly List<(int Id, string Text, bool IsSpecial, bool StripsRight)> _added = [];

    private HuggingFaceVocabulary(string folder, JsonElement config)
    {
        _path = Path.Combine(folder, FileName);
        if (!File.Exists(_path))
            throw new InvalidInputException(FileName, null, "is missing; other files of vocabularies are not read", folder);
        _json = JsonFile.Read(_path, out _);
        _model = _json.Find("model") ?? throw Error("model", null, "is missing; it must be an object");
        _settings = [.. SettingNames.Select(name => JsonFile.TryRead(Path.Combine(folder, name))).OfType<JsonElement>()];
        _config = config;
        _generation = JsonFile.TryRead(Path.Combine(folder, "generation_config.json"));
    }

    /// <summary>Reads the vocabulary of a folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="config">Its <c>config.json</c>.</param>
    /// <exception cref="InvalidInputException">A file is missing or malformed, or of a kind that this build does not read.</exception>
    public static Vocabulary Read(string folder, JsonElement config) => new HuggingFaceVocabulary(folder, config).Read();

    private Vocabulary Read()
    {
        // Files of before the kinds were told apart have none.
        if (_model.FindString("type") is { } type and not "BPE")
            throw Error("model.type", type, "must be BPE");
        ReadIds();
        var tokens = Tokens();
        var takesWhole = _model.FindBool("ignore_merges") ?? false;
        var isPieces = _model.FindBool("byte_fallback") == true;
        var merges = Merges();
        var (first, last) = Template();
        int[] ends = [.. Ids("eos_token_id", _generation).Union(Ids("eos_token_id", _config)).Where(id => id < tokens.Length)];
        var vocabulary = new Vocabulary
        {
            Source = _path,
            Model = isPieces ? SentencePiece.Model : ByteLevelBpe.Model,
            Tokens = tokens,
            Types = SetTypes(tokens, isPieces),
            BosId = Named("bos_token") ?? Ids("bos_token_id", _config).Select(id => (int?)id).FirstOrDefault(),
            EosId = Named("eos_token") ?? (ends.Length > 0 ? ends[0] : null),
            EndIds = ends,
            UnknownId = _model.FindString("unk_token") is { } unknown && _ids.TryGetValue(unknown, out var id) ? id : null,
            StripsRight = _added.Where(token => token.StripsRight).Select(token => token.Id).ToHashSet(),
        };
        vocabulary = vocabulary with
        {
            AddsBos = vocabulary.BosId is null ? false : Setting("add_bos_token") ?? (first is null ? null : first == vocabulary.BosId),
            AddsEos = vocabulary.EosId is null ? false : Setting("add_eos_token") ?? (last is null ? null : last == vocabulary.EosId),
        };
        return isPieces
            ? vocabulary with { Scores = Scores(merges, tokens.Length), AddsSpacePrefix = PieceNormalizer.AddsSpacePrefix(_json, _path) }
            : vocabulary with
            {
                Merges = merges,
                Pre = PreTokenizerNames.Find(_json, _path),
                TakesWholeTokens = takesWhole,
                // Without a word on it, those of Llama 3's kind alone add it.
                AddsBos = vocabulary.AddsBos ?? (takesWhole ? null : false),
            };
    }

    private void ReadIds()
    {
        if (_model.Find("vocab") is not { ValueKind: JsonValueKind.Object } vocab)
            throw Error("model.vocab", null, "must be an object of tokens and their ids");
        foreach (var entry in vocab.EnumerateObject())
            Add($"model.vocab.{entry.Name}", entry.Name, entry.Value);
        if (_json.Find("added_tokens") is not { ValueKind: JsonValueKind.Array } added)
            return;
        foreach (var token in added.EnumerateArray())
        {
            var text = token.FindString("content") ?? throw Error("added_tokens", token.GetRawText(), "must have content and an id");
            var id = Add($"added_tokens.{text}", text, token.Find("id"));
            _added.Add((id, text, token.FindBool("special") ?? false, token.FindBool("rstrip") ?? false));
        }

        int Add(string key, string token, JsonElement? value)
        {
            if (value is not { ValueKind: JsonValueKind.Number } number || !number.TryGetInt32(out var id)
                || id is < 0 or >= Vocabulary.MaxTokens)
                throw Error(key, value?.GetRawText(), $"must have an id from 0 to {Vocabulary.MaxTokens - 1}");
            return _ids[token] = id;
        }
    }

    /// <summary>As many as the embedding has rows: ids that no token has are kept free, tokens that no row has are left out.</summary>
    private string[] Tokens()
    {
        var size = _config.FindInt32("vocab_size") ?? _config.Find("text_config")?.FindInt32("vocab_size");
        var count = size is >= 1 and <= Vocabulary.MaxTokens ? size.Value : _ids.Values.DefaultIfEmpty(-1).Max() + 1;
        var tokens = new string?[count];
        foreach (var (token, id) in _ids.Where(entry => entry.Value < count))
            tokens[id] = tokens[id] is not { } other ? token
                : throw Error($"model.vocab.{token}", $"{id}", $"must differ from the id of {InputError.Shorten(other)}");
        for (var id = 0; id < count; id++)
            tokens[id] ??= $"[PAD{id}]";
        return tokens!;
    }

    private TokenType[] SetTypes(string[] tokens, bool isPieces)
    {
        var types = new TokenType[tokens.Length];
        for (var id = 0; id < tokens.Length; id++)
            types[id] = !_ids.ContainsKey(tokens[id]) ? TokenType.Unused
                : isPieces && tokens[id] is ['<', '0', 'x', _, _, '>'] ? TokenType.Byte
                : TokenType.Normal;
        foreach (var (id, text, isSpecial, _) in _added)
        {
            if (id >= types.Length || types[id] == TokenType.Byte)
                continue;
            types[id] = isPieces && text == _model.FindString("unk_token") ? TokenType.Unknown
                : isSpecial ? TokenType.Control
                : TokenType.UserDefined;
            // These are found in the text as it is.
            if (isPieces && types[id] == TokenType.UserDefined)
                tokens[id] = text.Replace('\u2581', ' ');
        }
        return types;
    }

    /// <summary>Pairs with a space between them, as older files write them; newer ones have arrays of two.</summary>
    private string[] Merges()
    {
        if (_model.Find("merges") is not { ValueKind: JsonValueKind.Array } array)
            throw Error("model.merges", null, "must be an array of pairs of tokens");
        var merges = new string[array.GetArrayLength()];
        var rank = 0;
        foreach (var merge in array.EnumerateArray())
        {
            merges[rank] = merge.ValueKind == JsonValueKind.String ? merge.GetString()!
                : merge.ValueKind == JsonValueKind.Array && merge.GetArrayLength() == 2
                    && merge[0].ValueKind == JsonValueKind.String && merge[1].ValueKind == JsonValueKind.String
                    ? $"{merge[0].GetString()} {merge[1].GetString()}"
                : throw Error($"model.merges[{rank}]", merge.GetRawText(), "must be two tokens");
            rank++;
        }
        return merges;
    }

    /// <summary>
    /// A piece's score: the sooner a merge makes it, the higher. Merges come from scores in the first place, in their order; what none
    /// makes (bytes, control tokens) has 0 in the files they come from.
    /// </summary>
    private float[] Scores(string[] merges, int count)
    {
        var scores = new float[count];
        for (var rank = merges.Length - 1; rank >= 0; rank--)
        {
            var space = merges[rank].IndexOf(' ', StringComparison.Ordinal);
            if (space < 0 || !_ids.TryGetValue(merges[rank].Remove(space, 1), out var id))
                throw Error($"model.merges[{rank}]", merges[rank], "must be two tokens of the vocabulary that together are a third");
            if (id < scores.Length)
                scores[id] = -1 - rank;
        }
        return scores;
    }

    /// <summary>The special tokens that the post-processor's template begins and ends with; null for none, or no template.</summary>
    private (int? First, int? Last) Template()
    {
        var processors = _json.Find("post_processor") switch
        {
            { } sequence when sequence.Find("processors") is { ValueKind: JsonValueKind.Array } inner => inner.EnumerateArray().ToArray(),
            { } only => [only],
            _ => [],
        };
        var template = processors.FirstOrDefault(processor => processor.FindString("type") == "TemplateProcessing");
        return template.Find("single") is { ValueKind: JsonValueKind.Array } single && single.GetArrayLength() > 0
            ? (IdOf(single[0]), IdOf(single[single.GetArrayLength() - 1]))
            : (null, null);

        int? IdOf(JsonElement piece) =>
            piece.Find("SpecialToken")?.FindString("id") is { } token && _ids.TryGetValue(token, out var id) ? id : -1;
    }

    private int? Named(string key)
    {
        foreach (var settings in _settings)
            if ((settings.FindString(key) ?? settings.Find(key)?.FindString("content")) is { } token && _ids.TryGetValue(token, out var id))
                return id;
        return null;
    }

    private bool? Setting(string key) => _settings.Select(settings => settings.FindBool(key)).FirstOrDefault(value => value is not null);

    private static int[] Ids(string key, JsonElement? file) => file?.Find(key) switch
    {
        { ValueKind: JsonValueKind.Number } id when id.TryGetInt32(out var number) => [number],
        { ValueKind: JsonValueKind.Array } list => [.. list.EnumerateArray()
            .Select(id => id.ValueKind == JsonValueKind.Number && id.TryGetInt32(out var number) ? number : -1).Where(id => id >= 0)],
        _ => [],
    };

    private InvalidInputException Error(string key, string? value, string rule) => new(key, value, rule, _path);
}
