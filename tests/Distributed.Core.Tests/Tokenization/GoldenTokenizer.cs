using System.Text.Json;
using System.Text.Json.Serialization;
using Distributed.Core.Gguf;
using Distributed.Core.Tokenization;

namespace Distributed.Core.Tests.Tokenization;

/// <summary>A file of texts with the ids that llama.cpp gives, and the tokenizer that must give the same.</summary>
internal sealed record GoldenTokenizer(string Vocab, string Pre, GoldenText[] Cases)
{
    private static readonly JsonSerializerOptions Names = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static GoldenTokenizer Read(string path) => JsonSerializer.Deserialize<GoldenTokenizer>(File.ReadAllBytes(path), Names)!;

    /// <summary>The tokenizer of the vocabulary beside <paramref name="path"/>, cutting as this file says.</summary>
    public Tokenizer Open(string path)
    {
        using var file = GgufFile.Open(Path.Combine(Path.GetDirectoryName(path)!, Vocab));
        return Tokenizer.FromVocabulary(GgufVocabulary.Read(file.Metadata) with { Pre = Pre });
    }
}

/// <summary>One text of a <see cref="GoldenTokenizer"/>.</summary>
internal sealed record GoldenText(string Text, int[] Ids, int[] IdsSpecial, int[] IdsWithSpecial, string Decoded, string? Detokenized)
{
    [JsonIgnore]
    public string WholeText => Detokenized ?? Decoded;
}
