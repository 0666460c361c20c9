using System.Text.Json.Nodes;
using Distributed.Core.Gguf;
using Distributed.Core.Tests.Tokenization;
using Distributed.Core.Tokenization;
using Distributed.Testing;

namespace Distributed.Core.Tests.HuggingFace;

/// <summary>A vocabulary in <c>tokenizer.json</c> gives the ids of the GGUF file made from it.</summary>
public sealed class HuggingFaceTokenizerTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public static TheoryData<string> Crossings => [.. TokenizerJsonWriter.PreTokenizers.Where(pre => File.Exists(Crossing(pre)))];

    public void Dispose() => _folder.Dispose();

    [Theory, MemberData(nameof(Crossings))]
    public void Every_cut_of_a_known_way_of_cutting_is_recognised(string pre) => Compare(Crossing(pre));

    [SharedTheory]
    [InlineData("llama-spm")]
    [InlineData("phi-3")]
    [InlineData("gpt-2")]
    [InlineData("mpt")]
    [InlineData("starcoder")]
    [InlineData("falcon")]
    [InlineData("deepseek-coder")]
    [InlineData("deepseek-llm")]
    public void Ids_of_real_vocabularies_are_those_of_the_reference(string name) => Compare(SharedGolden.Path($"tokenizers/{name}.json"));

    [Fact]
    public void Merges_may_be_pairs()
    {
        Compare(Crossing("qwen2"), mergesAsPairs: true);
    }

    [Fact]
    public void Ids_without_a_token_are_kept_free_and_tokens_beyond_the_embedding_are_left_out()
    {
        Write("gpt-2", """{"vocab_size": 2140}""");
        var tokenizer = Open();
        Assert.Equal(2140, tokenizer.VocabSize);
        Assert.Null(tokenizer.FindSpecial("[PAD2135]"));

        Write("gpt-2", """{"vocab_size": 2130}""");
        Assert.Equal(2130, Open().VocabSize);
        Assert.Null(Open().FindSpecial("<|im_end|>"));
    }

    [Fact]
    public void Every_end_that_the_generation_config_names_ends_an_answer()
    {
        Write("gpt-2", """{"vocab_size": 2134, "eos_token_id": 2127}""");
        File.WriteAllText(_folder.Path("generation_config.json"), """{"eos_token_id": [2126, 2131, 99999]}""");
        var tokenizer = Open();
        Assert.Equal([true, true, true, false], new[] { 2126, 2131, 2127, 2129 }.Select(tokenizer.IsEndOfGeneration));
    }

    [Fact]
    public void What_tokenizer_config_says_of_BOS_goes_before_the_template()
    {
        Write("llama-bpe", "{}");
        Assert.True(Open().AddsBos);
        Change("tokenizer_config.json", json => json["add_bos_token"] = false);
        Assert.False(Open().AddsBos);
    }

    [Fact]
    public void A_chat_template_may_lie_in_a_file_of_its_own_or_be_one_of_several()
    {
        Write("gpt-2", "{}");
        Assert.Null(Template());
        Change("tokenizer_config.json", json => json["chat_template"] = new JsonArray(
            new JsonObject { ["name"] = "tool_use", ["template"] = "tools" }, new JsonObject { ["name"] = "default", ["template"] = "plain" }));
        Assert.Equal("plain", Template());
        Change("tokenizer_config.json", json => json["chat_template"] = "single");
        Assert.Equal("single", Template());
        File.WriteAllText(_folder.Path("chat_template.jinja"), "file");
        Assert.Equal("file", Template());
    }

    [Theory]
    [InlineData("type", "\"Unigram\"", "model.type", "must be BPE")]
    [InlineData("vocab", "[]", "model.vocab", "must be an object")]
    [InlineData("vocab", """{"a": -1}""", "model.vocab.a", "must have an id from 0")]
    [InlineData("vocab", """{"a": 2000000000}""", "model.vocab.a", "must have an id from 0")]
    [InlineData("vocab", """{"a": 0, "b": 0}""", "model.vocab.b", "must differ from the id of a")]
    [InlineData("merges", "3", "model.merges", "must be an array")]
    [InlineData("merges", """[["a"]]""", "model.merges[0]", "must be two tokens")]
    [InlineData("merges", """["a"]""", "tokenizer.ggml.merges[0]", "must be two tokens with a space")]
    public void A_broken_model_is_refused_with_its_key(string member, string value, string key, string rule)
    {
        Write("gpt-2", "{}");
        Change("tokenizer.json", json => json["model"]![member] = JsonNode.Parse(value));
        var error = Assert.Single(Assert.Throws<InvalidInputException>(Open).Errors);
        Assert.Equal((key, _folder.Path("tokenizer.json")), (error.Key, error.Source));
        Assert.StartsWith(rule, error.Rule, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"type":"Split","pattern":{"Regex":"[a-z]+"},"behavior":"Isolated","invert":false}""", "must be one of the ways of cutting known here")]
    [InlineData("""{"type":"Split","pattern":{"Regex":"[a-z]+"},"behavior":"Removed","invert":false}""", "is not a step known here")]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":true}""", "is not a step known here")]
    [InlineData("""{"type":"Whitespace"}""", "is not a step known here")]
    [InlineData("""{"type":"Sequence","pretokenizers":[]}""", "must be one of the ways of cutting known here")]
    public void An_unknown_way_of_cutting_is_refused(string step, string rule)
    {
        Write("gpt-2", "{}");
        Change("tokenizer.json", json => json["pre_tokenizer"] = JsonNode.Parse(step));
        var error = Assert.Single(Assert.Throws<InvalidInputException>(Open).Errors);
        Assert.Equal("pre_tokenizer", error.Key);
        Assert.StartsWith(rule, error.Rule, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"normalizer": {"type":"Replace","pattern":{"String":" "},"content":"▁"}, "pre_tokenizer": null}""", false)]
    [InlineData("""{"normalizer": {"type":"Replace","pattern":{"String":" "},"content":"▁"}, "pre_tokenizer": {"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious"}}""", false)]
    [InlineData("""{"normalizer": null, "pre_tokenizer": {"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false}}""", true)]
    [InlineData("""{"normalizer": null, "pre_tokenizer": {"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false}}""", false)]
    [InlineData("""{"normalizer": null, "pre_tokenizer": {"type":"Metaspace","replacement":"▁","add_prefix_space":true}}""", true)]
    [InlineData("""{"normalizer": {"type":"NFKC"}, "pre_tokenizer": null}""", null)]
    [InlineData("""{"normalizer": null, "pre_tokenizer": {"type":"WhitespaceSplit"}}""", null)]
    public void Pieces_take_a_space_in_front_where_the_file_says_so(string parts, bool? adds)
    {
        File.WriteAllText(_folder.Path("config.json"), "{}");
        var json = JsonNode.Parse(parts)!.AsObject();
        json["added_tokens"] = JsonNode.Parse("""[{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "▁▁", "special": false}]""");
        json["model"] = JsonNode.Parse(
            """{"byte_fallback": true, "unk_token": "<unk>", "vocab": {"<unk>": 0, "▁▁": 1, "▁": 2, "a": 3, "▁a": 4, "<0x62>": 5}, "merges": [["▁", "a"]]}""");
        File.WriteAllText(_folder.Path("tokenizer.json"), json.ToJsonString());
        if (adds is null)
        {
            Assert.Throws<InvalidInputException>(Open);
            return;
        }
        var tokenizer = Open();
        // Two spaces are a token of their own, found in the text; b is a byte.
        Assert.Equal(adds.Value ? [4, 4, 5, 1, 4] : [3, 4, 5, 1, 3], tokenizer.Encode("a ab  a"));
        Assert.Equal("  a", tokenizer.Decode([1, 3]));
    }

    [Theory]
    [InlineData("", "0 bytes")]
    [InlineData("[1]", "Array")]
    [InlineData("{\"model\": ", "malformed")]
    [InlineData("{\"model\": \"\\ud800\"}", "malformed")]
    [InlineData("{\"\\uDC00\": 1}", "malformed")]
    public void A_file_that_is_no_JSON_object_is_refused(string text, string value)
    {
        Write("gpt-2", "{}");
        File.WriteAllText(_folder.Path("tokenizer.json"), text);
        var error = Assert.Single(Assert.Throws<InvalidInputException>(Open).Errors);
        Assert.Equal(("tokenizer.json", value), (error.Key, error.Value));
    }

    [Theory]
    [InlineData("""{"\u001b[31m": -1}""")]
    [InlineData("""{"\u001b[31m": 0, "\u001b[32m": 0}""")]
    public void Control_characters_of_a_token_are_not_shown(string vocab)
    {
        Write("gpt-2", "{}");
        Change("tokenizer.json", json => json["model"]!["vocab"] = JsonNode.Parse(vocab));
        Assert.DoesNotContain('\u001b', Assert.Throws<InvalidInputException>(Open).Message);
    }

    private static string Crossing(string pre) => Golden.Path($"tokenizers/crossing.pre-{pre}.json");

    private void Compare(string path, bool mergesAsPairs = false)
    {
        var golden = GoldenTokenizer.Read(path);
        using (var file = GgufFile.Open(Path.Combine(Path.GetDirectoryName(path)!, golden.Vocab)))
            TokenizerJsonWriter.Write(GgufVocabulary.Read(file.Metadata) with { Pre = golden.Pre }, _folder.Root, mergesAsPairs);
        File.WriteAllText(_folder.Path("config.json"), """{"model_type": "llama"}""");
        var tokenizer = Open();
        foreach (var text in golden.Cases)
        {
            Assert.Equal(text.Ids, tokenizer.Encode(text.Text));
            Assert.Equal(text.IdsSpecial, tokenizer.Encode(text.Text, special: true));
            Assert.Equal(text.IdsWithSpecial, tokenizer.Encode(text.Text, addBosEos: true));
            Assert.Equal(text.Decoded, tokenizer.Decode(text.Ids));
        }
    }

    private void Write(string pre, string config)
    {
        using var file = GgufFile.Open(Golden.Path("tokenizers/crossing.gguf"));
        TokenizerJsonWriter.Write(GgufVocabulary.Read(file.Metadata) with { Pre = pre }, _folder.Root);
        File.WriteAllText(_folder.Path("config.json"), config);
    }

    private void Change(string name, Action<JsonObject> change)
    {
        var json = (JsonObject)JsonNode.Parse(File.ReadAllText(_folder.Path(name)))!;
        change(json);
        File.WriteAllText(_folder.Path(name), json.ToJsonString());
    }

    private Tokenizer Open()
    {
        using var source = ModelSource.Open(_folder.Root);
        return Tokenizer.FromVocabulary(source.ReadVocabulary());
    }

    private string? Template()
    {
        using var source = ModelSource.Open(_folder.Root);
        return source.ChatTemplate;
    }
}
