using Distributed.Core.Gguf;
using Distributed.Core.Tokenization;
using Distributed.Testing;

namespace Distributed.Core.Tests.Tokenization;

/// <summary>A vocabulary that breaks a rule is refused with the key, the value and the rule.</summary>
public sealed class VocabularyRulesTests
{
    private static readonly Vocabulary Good = TinyVocabulary.Letters(("ab", TokenType.Normal)) with { Merges = ["a b"] };

    [Fact]
    public void Good_one_is_accepted() => Assert.Equal([26, 2], Tokenizer.FromVocabulary(Good).Encode("abc"));

    [Fact]
    public void Unknown_model_or_way_of_cutting_is_refused_with_a_list_of_the_known_ones()
    {
        Refused(Good with { Model = "bert" }, "tokenizer.ggml.model", "bert", "gpt2, llama");
        Refused(Good with { Pre = "nonsense" }, "tokenizer.ggml.pre", "nonsense", "default, gpt-2, mpt,");
    }

    [Fact]
    public void Lengths_that_disagree_are_refused()
    {
        Refused(Good with { Types = [TokenType.Normal] }, "tokenizer.ggml.token_type", "an array of 1", "27 tokens");
        Refused(Good with { Scores = new float[28] }, "tokenizer.ggml.scores", "an array of 28", "27 tokens");
        Refused(new Vocabulary { Model = "gpt2", Tokens = [] }, "tokenizer.ggml.tokens", "an empty array", "at least one");
    }

    [Fact]
    public void More_tokens_than_any_model_has_are_refused_before_they_are_read()
    {
        using var folder = new TempFolder();
        var writer = new GgufWriter();
        writer.Set("general.architecture", "llama");
        writer.Set("tokenizer.ggml.model", "gpt2");
        writer.Set("tokenizer.ggml.tokens", Enumerable.Repeat("", Vocabulary.MaxTokens + 1).ToArray());
        writer.Write(folder.Path("model.gguf"));
        using var file = GgufFile.Open(folder.Path("model.gguf"));

        var allocated = GC.GetAllocatedBytesForCurrentThread();
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => Tokenizer.FromVocabulary(file.ReadVocabulary())).Errors);

        Assert.Equal(("tokenizer.ggml.tokens", "an array of 1048577", "must have at most 1048576 tokens"), (error.Key, error.Value, error.Rule));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - allocated, 0, 1 << 20);
    }

    [Fact]
    public void Token_that_is_there_twice_is_refused() =>
        Refused(TinyVocabulary.Letters(("q", TokenType.Normal)), "tokenizer.ggml.tokens[26]", "q", "token 16 too");

    [Fact]
    public void Empty_tokens_are_places_without_a_token()
    {
        var tokenizer = Tokenizer.FromVocabulary(TinyVocabulary.Letters(("", TokenType.Control), ("", TokenType.UserDefined)));
        Assert.Equal([0, 1], tokenizer.Encode("ab", special: true));
        Assert.Equal("", tokenizer.Decode([26, 27]));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(27)]
    [InlineData(int.MaxValue)]
    public void Id_outside_the_vocabulary_is_refused(int id)
    {
        Refused(Good with { BosId = id }, "tokenizer.ggml.bos_token_id", $"{id}", "has 27");
        Refused(Good with { EosId = id }, "tokenizer.ggml.eos_token_id", $"{id}", "has 27");
        Refused(Good with { EotId = id }, "tokenizer.ggml.eot_token_id", $"{id}", "has 27");
        Refused(Good with { EomId = id }, "tokenizer.ggml.eom_token_id", $"{id}", "has 27");
        Refused(Good with { UnknownId = id }, "tokenizer.ggml.unknown_token_id", $"{id}", "has 27");
    }

    [Fact]
    public void Flag_without_the_token_it_needs_is_refused()
    {
        Refused(Good with { AddsBos = true }, "tokenizer.ggml.bos_token_id", null, "add_bos_token");
        Refused(Good with { AddsEos = true }, "tokenizer.ggml.eos_token_id", null, "add_eos_token");
    }

    [Theory]
    [InlineData("ab", "a space between")]
    [InlineData("", "a space between")]
    [InlineData(" b", "a space between")]
    [InlineData("a ", "a space between")]
    [InlineData("a c", "together are a third")]
    [InlineData("a B", "together are a third")]
    [InlineData("a b c", "together are a third")]
    public void Malformed_merge_is_refused(string merge, string rule) =>
        Refused(Good with { Merges = ["a b", merge] }, "tokenizer.ggml.merges[1]", merge, rule);

    [Fact]
    public void Scores_are_needed_by_SentencePiece_and_must_be_numbers()
    {
        Refused(TinyVocabulary.Pieces() with { Scores = [] }, "tokenizer.ggml.scores", null, "is missing");
        Refused(TinyVocabulary.Pieces() with { Scores = [0, 0, 0, -1, float.NaN, -3, -4] }, "tokenizer.ggml.scores[4]", "NaN", "number");
    }

    [Fact]
    public void All_errors_are_reported_at_once_with_the_file()
    {
        var bad = Good with { Source = "model.gguf", Types = [TokenType.Normal], BosId = 99, EosId = -5 };
        var errors = Assert.Throws<InvalidInputException>(() => Tokenizer.FromVocabulary(bad)).Errors;
        Assert.Equal(
            ["tokenizer.ggml.token_type", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"],
            errors.Select(error => error.Key));
        Assert.All(errors, error => Assert.Equal("model.gguf", error.Source));
    }

    [Theory]
    [InlineData("tokenizer.ggml.model")]
    [InlineData("tokenizer.ggml.tokens")]
    public void Missing_key_is_named(string key)
    {
        using var folder = new TempFolder();
        var path = folder.Path("model.gguf");
        using (var source = GgufFile.Open(Golden.Path("tokenizers/crossing.gguf")))
        {
            var writer = new GgufWriter();
            foreach (var kept in source.Metadata.Keys.Where(kept => kept != key))
                writer.Set(kept, source.Metadata.GetValue(kept));
            writer.Write(path);
        }
        using var file = GgufFile.Open(path);
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => Tokenizer.FromVocabulary(file.ReadVocabulary())).Errors);
        Assert.Equal((key, null), (error.Key, error.Value));
    }

    [Fact]
    public void Whatever_a_file_says_gives_a_tokenizer_that_works_or_an_error()
    {
        var text = Gen.String[Gen.Char["ab▁<>0x\0é \uD83D"], 0, 5];
        var id = Gen.OneOf(Gen.Const((int?)null), Gen.Int[-1, 8].Select(value => (int?)value));
        var tokens = Gen.Int[0, 6].SelectMany(count => Gen.Select(text.Array[count], Gen.Int[0, 7].Array[count], Gen.Float.Array[count]));
        var merges = Gen.OneOf(Gen.Const("a b"), Gen.Select(text, text, (left, right) => $"{left} {right}")).Array[0, 2];
        var kind = Gen.OneOf(new[] { "gpt-2", "llama-bpe", "deepseek-llm", "llama" }.Select(Gen.Const).ToArray());
        var settings = Gen.Select(id, id, id, Gen.Bool, Gen.Bool, Gen.Bool);
        var accepted = 0;
        Gen.Select(kind, tokens, merges, settings, text).Sample(
            (kind, tokens, merges, settings, sample) =>
            {
                var vocabulary = new Vocabulary
                {
                    Model = kind == "llama" ? "llama" : "gpt2",
                    Pre = kind,
                    ModelName = "Phi-3",
                    Tokens = [.. tokens.Item1, "a", "b", "ab"],
                    Types = [.. tokens.Item2.Select(type => (TokenType)type), .. Enumerable.Repeat(TokenType.Normal, 3)],
                    Scores = [.. tokens.Item3, 0, 0, 0],
                    Merges = merges,
                    BosId = settings.Item1,
                    EosId = settings.Item2,
                    UnknownId = settings.Item3,
                    AddsBos = settings.Item4,
                    AddsEos = settings.Item5,
                    AddsSpacePrefix = settings.Item6,
                };
                try
                {
                    var tokenizer = Tokenizer.FromVocabulary(vocabulary);
                    tokenizer.Detokenize(tokenizer.Encode(sample, special: true, addBosEos: true));
                    tokenizer.Decode(Enumerable.Range(0, tokenizer.VocabSize));
                    Interlocked.Increment(ref accepted);
                }
                catch (InvalidInputException)
                {
                }
            },
            iter: 2000);
        Assert.InRange(accepted, 100, 1900);
    }

    private static void Refused(Vocabulary vocabulary, string key, string? value, string rule)
    {
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => Tokenizer.FromVocabulary(vocabulary)).Errors);
        Assert.Equal((key, value), (error.Key, error.Value));
        Assert.Contains(rule, error.Rule, StringComparison.Ordinal);
    }
}
