using System.Text.Json;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed class TokenizeTests : IDisposable
{
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Ids_are_a_JSON_array_and_decode_to_the_text()
    {
        var encoded = await Cli.RunAsync("tokenize", "Hello, world!");
        var decoded = await Cli.RunAsync("tokenize", "--decode", encoded.Out);
        var bare = await Cli.RunAsync("tokenize", "--decode", encoded.Out.Trim('[', ']', '\n'));
        var json = await Cli.RunAsync("tokenize", "--decode", "--json", encoded.Out);

        Assert.Equal((0, ""), (encoded.ExitCode, encoded.Error));
        Assert.True(JsonSerializer.Deserialize<int[]>(encoded.Out)!.Length > 1);
        Assert.Equal("Hello, world!\n", decoded.Out);
        Assert.Equal("Hello, world!\n", bare.Out);
        Assert.Equal("\"Hello, world!\"\n", json.Out);
    }

    [Fact]
    public async Task Special_tokens_are_text_unless_asked_for()
    {
        var text = await Cli.RunAsync("tokenize", "<|im_end|>");
        var special = await Cli.RunAsync("tokenize", "--special", "<|im_end|>");

        Assert.True(JsonSerializer.Deserialize<int[]>(text.Out)!.Length > 1);
        Assert.Equal("[2]\n", special.Out);
    }

    [Fact]
    public async Task Text_may_come_from_stdin_with_every_character_of_it()
    {
        var piped = await Cli.RunAsync("a\nb\n", ["tokenize"]);
        var argument = await Cli.RunAsync("tokenize", "a\nb\n");

        Assert.Equal(argument.Out, piped.Out);
    }

    [Fact]
    public Task Vocabulary_without_weights_gives_the_reference_ids() =>
        CheckAsync(Golden.Path("tokenizers/crossing.gguf"), Golden.Path("tokenizers/crossing.pre-gpt-2.json"));

    [SharedTheory]
    [InlineData("llama-spm")]
    [InlineData("falcon")]
    [InlineData("phi-3")]
    public Task Real_vocabulary_gives_the_reference_ids(string name) =>
        CheckAsync(SharedGolden.Path($"tokenizers/{name}.gguf"), SharedGolden.Path($"tokenizers/{name}.json"));

    [Theory]
    [InlineData("[\"a\", 3]", "must be a JSON array of texts; it is not at $[1], line 1")]
    [InlineData("{}", "must be a JSON array of texts")]
    [InlineData("[\"a\"", "must be a JSON array of texts")]
    [InlineData("", "must be a JSON array of texts")]
    [InlineData("[null]", "--texts[0] is null: must be a text")]
    public async Task Wrong_file_of_texts_is_refused(string content, string rule)
    {
        var path = _folder.Path("texts.json");
        await File.WriteAllTextAsync(path, content);

        var result = await Cli.RunAsync("tokenize", "--texts", path);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Contains(rule, Assert.Single(result.Errors));
    }

    [Fact]
    public async Task Ids_beyond_the_vocabulary_are_refused_all_at_once()
    {
        var result = await Cli.RunAsync("tokenize", "--decode", "1,-1,9999");

        Assert.Equal(2, result.ExitCode);
        Assert.Equal(
            ["error: TEXT is -1: must be a token id from 0 to 1204", "error: TEXT is 9999: must be a token id from 0 to 1204"], result.Errors);
    }

    public void Dispose() => _folder.Dispose();

    private async Task CheckAsync(string vocabulary, string cases)
    {
        var golden = JsonDocument.Parse(await File.ReadAllTextAsync(cases)).RootElement.GetProperty("cases").EnumerateArray().ToList();
        var texts = _folder.Path("texts.json");
        await File.WriteAllTextAsync(texts, $"[{string.Join(',', golden.Select(one => one.GetProperty("text").GetRawText()))}]");
        var ids = _folder.Path("ids.json");
        await File.WriteAllTextAsync(ids, $"[{string.Join(',', golden.Select(one => one.GetProperty("ids").GetRawText()))}]");

        await MatchAsync("ids", "--texts", texts);
        await MatchAsync("ids_special", "--texts", texts, "--special");
        await MatchAsync("ids_with_special", "--texts", texts, "--bos");
        await MatchAsync("decoded", "--texts", ids, "--decode");

        async Task MatchAsync(string expected, params string[] args)
        {
            var result = await Cli.RunAsync(["tokenize", "-m", vocabulary, .. args]);
            Assert.Equal((0, ""), (result.ExitCode, result.Error));
            var found = JsonDocument.Parse(result.Out).RootElement.EnumerateArray().ToList();
            Assert.Equal(golden.Count, found.Count);
            for (var i = 0; i < found.Count; i++)
                Assert.True(JsonElement.DeepEquals(golden[i].GetProperty(expected), found[i]), $"{expected} of {golden[i].GetProperty("text")}");
        }
    }
}
