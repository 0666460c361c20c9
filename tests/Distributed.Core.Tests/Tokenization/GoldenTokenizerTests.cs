using Distributed.Testing;

namespace Distributed.Core.Tests.Tokenization;

/// <summary>Ids and texts equal llama.cpp's.</summary>
public sealed class GoldenTokenizerTests
{
    public static TheoryData<string> Crossing => [.. Names(Directory.EnumerateFiles(Golden.Path("tokenizers"), "*.json"))];

    public static TheoryData<string> Real =>
    [
        .. Names(SharedGolden.Files("tokenizers", "*.json"))
            .Where(name => name != "texts.json" && !name.StartsWith("crossing", StringComparison.Ordinal))
            .DefaultIfEmpty("absent"),
    ];

    [Theory]
    [MemberData(nameof(Crossing))]
    public void Made_up_vocabulary_that_shows_every_cut_gives_the_reference_ids(string name) => Check(Golden.Path($"tokenizers/{name}"));

    [SharedTheory]
    [MemberData(nameof(Real))]
    public void Real_vocabulary_gives_the_reference_ids(string name) => Check(SharedGolden.Path($"tokenizers/{name}"));

    [Fact]
    public void Every_reference_way_of_cutting_is_tested() => Assert.Equal(13, Crossing.Count);

    private static IEnumerable<string> Names(IEnumerable<string> paths) =>
        paths.Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal);

    private static void Check(string path)
    {
        var golden = GoldenTokenizer.Read(path);
        var tokenizer = golden.Open(path);
        Assert.NotEmpty(golden.Cases);
        Assert.All(golden.Cases, expected =>
        {
            Assert.Equal(expected.Ids, tokenizer.Encode(expected.Text));
            Assert.Equal(expected.IdsSpecial, tokenizer.Encode(expected.Text, special: true));
            Assert.Equal(expected.IdsWithSpecial, tokenizer.Encode(expected.Text, addBosEos: true));
            Assert.Equal(expected.Decoded, tokenizer.Decode(expected.Ids));
            Assert.Equal(expected.WholeText, tokenizer.Detokenize(expected.Ids));
        });
    }
}
