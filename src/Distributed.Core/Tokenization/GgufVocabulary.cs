using Distributed.Core.Gguf;

namespace Distributed.Core.Tokenization;

/// <summary>Reads a vocabulary from a model file's metadata.</summary>
public static class GgufVocabulary
{
    private const string Prefix = "tokenizer.ggml.";

    /// <summary>Reads the keys under <c>tokenizer.ggml</c>.</summary>
    /// <exception cref="InvalidInputException">A key is missing or has another type than it should, or there are too many tokens.</exception>
    public static Vocabulary Read(GgufMetadata metadata) => new()
    {
        Model = metadata.GetString($"{Prefix}model"),
        Pre = metadata.TryGetString($"{Prefix}pre", out var pre) ? pre : "default",
        ModelName = metadata.TryGetString("general.name", out var name) ? name : "",
        Source = metadata.Source,
        Tokens = Tokens(metadata),
        Types = metadata.Contains($"{Prefix}token_type")
            ? Array.ConvertAll(metadata.GetInt32s($"{Prefix}token_type"), type => (TokenType)type)
            : [],
        Scores = metadata.Contains($"{Prefix}scores") ? metadata.GetSingles($"{Prefix}scores") : [],
        Merges = metadata.Contains($"{Prefix}merges") ? metadata.GetStrings($"{Prefix}merges") : [],
        BosId = Id(metadata, "bos_token_id"),
        EosId = Id(metadata, "eos_token_id"),
        EotId = Id(metadata, "eot_token_id"),
        EomId = Id(metadata, "eom_token_id"),
        UnknownId = Id(metadata, "unknown_token_id"),
        AddsBos = Flag(metadata, "add_bos_token"),
        AddsEos = Flag(metadata, "add_eos_token"),
        AddsSpacePrefix = Flag(metadata, "add_space_prefix"),
    };

    // Counted before strings are made: an empty one takes far less in the file than in memory.
    private static string[] Tokens(GgufMetadata metadata) => metadata.ArrayLength($"{Prefix}tokens") is > Vocabulary.MaxTokens and var count
        ? throw new InvalidInputException(
            $"{Prefix}tokens", $"an array of {count}", $"must have at most {Vocabulary.MaxTokens} tokens", metadata.Source)
        : metadata.GetStrings($"{Prefix}tokens");

    private static int? Id(GgufMetadata metadata, string key) => metadata.TryGetInt32(Prefix + key, out var id) ? id : null;

    private static bool? Flag(GgufMetadata metadata, string key) => metadata.TryGetBool(Prefix + key, out var flag) ? flag : null;
}
