using System.Text;
using Distributed.Core.Gguf;
using Distributed.Core.Tokenization;
using Distributed.Testing;

namespace Distributed.Core.Tests.Tokenization;

public sealed class TokenizerTests
{
    [Fact]
    public void Sample_model_has_the_tokens_of_ChatML()
    {
        var tokenizer = Open(Repository.SampleModel);
        Assert.Equal(1205, tokenizer.VocabSize);
        Assert.Equal((0, 2), (tokenizer.BosId, tokenizer.EosId));
        Assert.False(tokenizer.AddsBos);
        Assert.Equal([0, 1, 2], new[] { "<|endoftext|>", "<|im_start|>", "<|im_end|>" }.Select(name => tokenizer.FindSpecial(name)!.Value));
        Assert.Null(tokenizer.FindSpecial("the"));
        Assert.Equal([true, false, true], new[] { 0, 1, 2 }.Select(tokenizer.IsEndOfGeneration));

        var ids = tokenizer.Encode("<|im_start|>user\nHello!<|im_end|>\n", special: true);
        Assert.Equal((1, 2), (ids[0], ids[^2]));
        Assert.Equal("<|im_start|>user\nHello!<|im_end|>\n", tokenizer.Decode(ids));
        Assert.DoesNotContain(1, tokenizer.Encode("<|im_start|>"));
    }

    [Theory]
    [InlineData("default")]
    [InlineData("gpt-2")]
    [InlineData("falcon")]
    [InlineData("starcoder")]
    [InlineData("llama-bpe")]
    [InlineData("qwen2")]
    [InlineData("qwen35")]
    [InlineData("gpt-4o")]
    [InlineData("tekken")]
    [InlineData("kimi-k2")]
    [InlineData("deepseek-llm")]
    [InlineData("deepseek-coder")]
    [InlineData("deepseek-v3")]
    public void Any_text_survives_encoding_and_decoding(string pre)
    {
        var tokenizer = Tokenizer.FromVocabulary(Read(Golden.Path("tokenizers/crossing.gguf")) with { Pre = pre });
        var alphabet = Gen.OneOf(Gen.Char, Gen.Char["aZ é\u0301'7\n\r\t.~ 中\u3000\u200B/"]);
        Gen.String[alphabet, 0, 40].Sample(text =>
            tokenizer.Decode(tokenizer.Encode(text)) == Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)));
    }

    [Fact]
    public void Characters_beyond_the_basic_plane_are_one_character_to_the_patterns()
    {
        // Digits, letters and Chinese characters of other planes: cut one by one, in threes, or as a run.
        Assert.Equal(["𝟏", "𝟐", "𝟑"], Words("qwen2", "𝟏𝟐𝟑"));
        Assert.Equal(["𝟏𝟐𝟑", "𝟒"], Words("llama-bpe", "𝟏𝟐𝟑𝟒"));
        Assert.Equal(["𠀀𠀁", "𝐀𝐁"], Words("kimi-k2", "𠀀𠀁𝐀𝐁"));
        Assert.Equal(["a", " 😀😀", "b"], Words("gpt-2", "a 😀😀b"));
        Assert.Equal([" 𐐀𐐁", "𝟏"], Words("deepseek-llm", " 𐐀𐐁𝟏"));
        Assert.Equal(["𐐀\U00010A0F"], Words("deepseek-v3", "𐐀\U00010A0F"));
    }

    [Fact]
    public void Longer_special_tokens_go_first_wherever_they_stand()
    {
        var tokenizer = Tokenizer.FromVocabulary(TinyVocabulary.Letters(("ab", TokenType.UserDefined), ("bcd", TokenType.UserDefined)));
        Assert.Equal([0, 27, 4], tokenizer.Encode("abcde"));
        Assert.Equal([26, 26, 2], tokenizer.Encode("ababc"));
        Assert.Equal("abcde", tokenizer.Decode([0, 27, 4]));
    }

    [Fact]
    public void Control_tokens_are_read_only_when_asked_for_and_user_defined_ones_always()
    {
        var tokenizer = Tokenizer.FromVocabulary(TinyVocabulary.Letters(("xy", TokenType.Control), ("yz", TokenType.UserDefined)));
        Assert.Equal([23, 27], tokenizer.Encode("xyz"));
        Assert.Equal([26, 25], tokenizer.Encode("xyz", special: true));
        Assert.Equal([true, false], new[] { 26, 27 }.Select(tokenizer.IsSpecial));
    }

    [Fact]
    public void Bytes_that_the_vocabulary_lacks_are_left_out_and_cost_no_other()
    {
        var tokenizer = Tokenizer.FromVocabulary(TinyVocabulary.Letters());
        Assert.Equal([0, 1], tokenizer.Encode("a\u0003b"));
    }

    [Fact]
    public void SentencePiece_without_byte_tokens_falls_back_to_the_unknown_token()
    {
        var tokenizer = Tokenizer.FromVocabulary(TinyVocabulary.Pieces());
        Assert.Equal([1, 3, 6, 0], tokenizer.Encode("abc", addBosEos: true));
        Assert.Equal([3, 6, 0, 0], tokenizer.Encode("abé"));
        Assert.Equal([6], Tokenizer.FromVocabulary(TinyVocabulary.Pieces() with { AddsSpacePrefix = false }).Encode("ab"));
    }

    [Fact]
    public void Flags_of_the_file_decide_what_goes_around_a_text()
    {
        static int[] Around(Vocabulary vocabulary) => Tokenizer.FromVocabulary(vocabulary).Encode("a", addBosEos: true);

        var vocabulary = TinyVocabulary.Letters() with { BosId = 24, EosId = 25 };
        Assert.Equal([0], Around(vocabulary));
        Assert.Equal([24, 0, 25], Around(vocabulary with { AddsBos = true, AddsEos = true }));
        Assert.Equal([24, 0], Around(vocabulary with { Pre = "llama-bpe" }));
        Assert.Equal([0], Around(vocabulary with { Pre = "llama-bpe", AddsBos = false }));
        Assert.Null(Tokenizer.FromVocabulary(vocabulary with { Pre = "chatglm-bpe" }).BosId);
    }

    [Fact]
    public void Half_a_surrogate_pair_is_the_replacement_character()
    {
        var tokenizer = Open(Golden.Path("tokenizers/crossing.gguf"));
        Assert.Equal("a\uFFFDb\uFFFD", tokenizer.Decode(tokenizer.Encode("a\uD83Db\uDE00")));
    }

    [Theory]
    [InlineData(new[] { "<|end|>" }, new[] { true })]
    [InlineData(new[] { "<|end|>", "<|return|>", "<|call|>" }, new[] { false, true, true })]
    [InlineData(new[] { "<|start|>", "<end_of_turn>" }, new[] { false, true })]
    public void Generation_ends_at_tokens_known_by_name(string[] names, bool[] ends)
    {
        var tokenizer = Tokenizer.FromVocabulary(TinyVocabulary.Letters([.. names.Select(name => (name, TokenType.Normal))]));
        Assert.Equal(ends, names.Select((_, i) => tokenizer.IsEndOfGeneration(26 + i)));
    }

    [Fact]
    public void Generation_ends_at_tokens_the_file_names()
    {
        var tokenizer = Tokenizer.FromVocabulary(TinyVocabulary.Letters() with { EosId = 1, EotId = 2, EomId = 3 });
        Assert.Equal([false, true, true, true, false], Enumerable.Range(0, 5).Select(tokenizer.IsEndOfGeneration));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(26)]
    public void Token_outside_the_vocabulary_is_an_error(int id)
    {
        var tokenizer = Tokenizer.FromVocabulary(TinyVocabulary.Letters());
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.TokenBytes(id));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.IsSpecial(id));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([0, id]));
        Assert.False(tokenizer.IsEndOfGeneration(id));
    }

    [Fact]
    public async Task Many_threads_get_the_same_ids()
    {
        var tokenizer = Open(Repository.SampleModel);
        const string Text = "Once upon a time there was a fox who met an otter by the river. ";
        var expected = tokenizer.Encode(Text);
        var threads = Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
            Enumerable.Range(0, 200).All(_ => tokenizer.Encode(Text).SequenceEqual(expected))));
        Assert.All(await Task.WhenAll(threads).WaitAsync(TimeSpan.FromMinutes(1)), Assert.True);
    }

    [Theory]
    [InlineData("a")]
    [InlineData(" ")]
    [InlineData("\n \t")]
    [InlineData("aÉ")]
    [InlineData("中文")]
    [InlineData("<|im_")]
    [InlineData("It was a bright cold day, and 42 gulls argued. ")]
    public async Task Half_a_million_characters_of_anything_are_a_matter_of_seconds(string unit)
    {
        // Work that grows with the square of the length would take hours.
        var text = string.Concat(Enumerable.Repeat(unit, 500_000 / unit.Length)) + "x";
        var vocabulary = Read(Golden.Path("tokenizers/crossing.gguf"));
        foreach (var pre in new[] { "gpt-2", "llama-bpe", "gpt-4o", "deepseek-llm", "deepseek-v3" })
        {
            var tokenizer = Tokenizer.FromVocabulary(vocabulary with { Pre = pre });
            var ids = await Task.Run(() => tokenizer.Encode(text, special: true)).WaitAsync(TimeSpan.FromMinutes(1));
            Assert.Equal(text, tokenizer.Decode(ids));
        }
    }

    /// <summary>The words of a text, each of which is one token.</summary>
    private static IEnumerable<string> Words(string pre, string text)
    {
        var bytes = Read(Golden.Path("tokenizers/crossing.gguf")).Tokens.Take(256).ToArray();
        var tokenizer = Tokenizer.FromVocabulary(TinyVocabulary.Joining(text, bytes) with { Pre = pre });
        return tokenizer.Encode(text).Select(id => tokenizer.Decode([id]));
    }

    private static Vocabulary Read(string path)
    {
        using var file = GgufFile.Open(path);
        return GgufVocabulary.Read(file.Metadata);
    }

    private static Tokenizer Open(string path) => Tokenizer.FromVocabulary(Read(path));
}
