namespace Distributed.Core.Tokenization;

/// <summary>What must hold of a vocabulary from a file before anything is built on it. Merges are checked as they are read.</summary>
internal sealed class VocabularyRules
{
    private readonly Vocabulary _vocabulary;
    private readonly List<InputError> _errors = [];

    private VocabularyRules(Vocabulary vocabulary) => _vocabulary = vocabulary;

    /// <summary>Checks every rule.</summary>
    /// <exception cref="InvalidInputException">With all that are broken.</exception>
    public static void Check(Vocabulary vocabulary)
    {
        var rules = new VocabularyRules(vocabulary);
        rules.CheckTokens();
        rules.CheckIds();
        if (rules._errors.Count > 0)
            throw new InvalidInputException(rules._errors);
    }

    private void CheckTokens()
    {
        if (_vocabulary.Tokens.Count == 0)
            Add("tokens", "an empty array", "must have at least one token");
        CheckLength("token_type", _vocabulary.Types.Count);
        CheckLength("scores", _vocabulary.Scores.Count);

        var ids = new Dictionary<string, int>(_vocabulary.Tokens.Count, StringComparer.Ordinal);
        for (var id = 0; id < _vocabulary.Tokens.Count; id++)
        {
            // Files have empty strings in places that no token was made for.
            var token = _vocabulary.Tokens[id];
            if (token.Length == 0 || ids.TryAdd(token, id))
                continue;
            Add($"tokens[{id}]", token, $"must differ from every other token, but is token {ids[token]} too");
            break;
        }
        for (var id = 0; id < _vocabulary.Scores.Count; id++)
        {
            if (!float.IsNaN(_vocabulary.Scores[id]))
                continue;
            Add($"scores[{id}]", "NaN", "must be a number");
            break;
        }
    }

    private void CheckIds()
    {
        CheckId("bos_token_id", _vocabulary.BosId);
        CheckId("eos_token_id", _vocabulary.EosId);
        CheckId("eot_token_id", _vocabulary.EotId);
        CheckId("eom_token_id", _vocabulary.EomId);
        CheckId("unknown_token_id", _vocabulary.UnknownId);
        if (_vocabulary is { AddsBos: true, BosId: null, Model: ByteLevelBpe.Model })
            Add("bos_token_id", null, "is missing; with tokenizer.ggml.add_bos_token it must be a token");
        if (_vocabulary is { AddsEos: true, EosId: null, Model: ByteLevelBpe.Model })
            Add("eos_token_id", null, "is missing; with tokenizer.ggml.add_eos_token it must be a token");
    }

    private void CheckLength(string key, int length)
    {
        var tokens = _vocabulary.Tokens.Count;
        if (length != 0 && length != tokens)
            Add(key, $"an array of {length}", $"must have one value for each of the {tokens} tokens");
    }

    private void CheckId(string key, int? id)
    {
        if (id < 0 || id >= _vocabulary.Tokens.Count)
            Add(key, $"{id}", $"must be a token of the vocabulary, which has {_vocabulary.Tokens.Count}");
    }

    private void Add(string key, string? value, string rule) =>
        _errors.Add(new InputError($"tokenizer.ggml.{key}", value, rule, _vocabulary.Source));
}
