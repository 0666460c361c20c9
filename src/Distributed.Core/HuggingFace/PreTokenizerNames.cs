using System.Text.Json;

namespace Distributed.Core.HuggingFace;

/// <summary>
/// Recognises the way a byte-level tokenizer cuts texts by its steps. The patterns are data, compared as text; what cuts is the
/// <see cref="Tokenization.PreTokenizer"/> of the name, as for GGUF files.
/// </summary>
internal static class PreTokenizerNames
{
    private const string Digit = "each digit";
    private const string Digits = "digits";
    private const string Punctuation = "punctuation";
    private const string Gpt2 = "GPT-2";
    private const string DeepSeekLetters = @"\s?[A-Za-zµ";

    private const string Contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    private const string Spaces = @"\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string Symbols = @" ?[^\s\p{L}\p{N}]+[\r\n]*";
    private const string Prefix = @"[^\r\n\p{L}\p{N}]?";
    private const string Upper = @"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]";
    private const string Lower = @"[\p{Ll}\p{Lm}\p{Lo}\p{M}]";
    private const string Cjk = "[一-龥ࠀ-一가-퟿]+";

    private static readonly (string Name, string[] Steps)[] Table =
    [
        ("gpt-2", [Gpt2]),
        ("starcoder", [Digit, Gpt2]),
        ("falcon", [Punctuation, Gpt2, Digits, "[0-9][0-9][0-9]"]),
        ("llama-bpe", [$@"{Contraction}|{Prefix}\p{{L}}+|\p{{N}}{{1,3}}|{Symbols}|{Spaces}"]),
        ("qwen2", [$@"{Contraction}|{Prefix}\p{{L}}+|\p{{N}}|{Symbols}|{Spaces}"]),
        ("qwen35", [$@"{Contraction}|{Prefix}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{Spaces}"]),
        ("gpt-4o",
        [
            $@"{Prefix}{Upper}*{Lower}+{Contraction}?|{Prefix}{Upper}+{Lower}*{Contraction}?|\p{{N}}{{1,3}}|" +
            $@" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{Spaces}",
        ]),
        ("tekken", [$@"{Prefix}{Upper}*{Lower}+|{Prefix}{Upper}+{Lower}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{Spaces}"]),
        ("deepseek-llm", [@"[\r\n]", DeepSeekLetters, @"\s?[!-/:-~！-／：-～‘-‟　-。]+", @"\s+$", Cjk, Digit]),
        ("deepseek-coder", [@"[\r\n]", @"\s?\p{L}+", @"\s?\p{P}+", Cjk, Digit]),
        ("deepseek-v3",
        [
            @"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
            @"[!""#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|" + Spaces,
        ]),
    ];

    /// <summary>The name of the way of cutting, as in <c>tokenizer.ggml.pre</c>.</summary>
    /// <param name="json">The tokenizer.</param>
    /// <param name="path">Its file, for the error.</param>
    /// <exception cref="InvalidInputException">It is not known.</exception>
    public static string Find(JsonElement json, string path)
    {
        // Composing accents (NFC) is left out, as it is for GGUF files.
        foreach (var step in TokenizerSteps.Of(json, "normalizer"))
            if (step.FindString("type") is not "NFC")
                throw TokenizerSteps.NotKnown("normalizer", step, "must be NFC, or none", path);

        var steps = TokenizerSteps.Of(json, "pre_tokenizer").Select(step => StepOf(step, path)).Where(step => step.Length > 0).ToArray();
        return Array.Find(Table, row => row.Steps.SequenceEqual(steps)).Name
            ?? throw new InvalidInputException(
                "pre_tokenizer",
                string.Join(", then ", steps),
                $"must be one of the ways of cutting known here: {string.Join(", ", Table.Select(row => row.Name))}",
                path);
    }

    private static string StepOf(JsonElement step, string path)
    {
        switch (step.FindString("type"))
        {
            case "ByteLevel" when step.FindBool("add_prefix_space") != true:
                return step.FindBool("use_regex") == false ? "" : Gpt2;
            case "Digits":
                return step.FindBool("individual_digits") == true ? Digit : Digits;
            case "Punctuation" when step.FindString("behavior") == "Contiguous":
                return Punctuation;
            case "Split" when step.FindString("behavior") == "Isolated" && step.FindBool("invert") != true:
                var pattern = step.Find("pattern")?.FindString("Regex") ?? step.Find("pattern")?.FindString("String") ?? "";
                return pattern.StartsWith(DeepSeekLetters, StringComparison.Ordinal) ? DeepSeekLetters : pattern;
            default:
                throw TokenizerSteps.NotKnown("pre_tokenizer", step, "is not a step known here", path);
        }
    }
}
