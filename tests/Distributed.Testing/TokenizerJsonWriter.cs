using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Distributed.Core.Tokenization;

namespace Distributed.Testing;

/// <summary>Makes of a vocabulary the <c>tokenizer.json</c> it could have come from, and the files beside it.</summary>
public static class TokenizerJsonWriter
{
    private const string ByteLevel = """{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}""";

    private static readonly JsonSerializerOptions Unescaped = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // As they stand in the files of the models, pattern by pattern.
    private static readonly Dictionary<string, string[]> Patterns = new()
    {
        ["llama-bpe"] = [@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
        ["qwen2"] = [@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
        ["qwen35"] =
            [@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
        ["gpt-4o"] =
        [
            @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
            @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
            @"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ["tekken"] =
        [
            @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|" +
            @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|" +
            @"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ["deepseek-llm"] =
        [
            @"[\r\n]", @"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+", @"\s?[!-/:-~！-／：-～‘-‟　-。]+", @"\s+$",
            "[一-龥ࠀ-一가-퟿]+", "DIGITS",
        ],
        ["deepseek-coder"] = [@"[\r\n]", @"\s?\p{L}+", @"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", "DIGITS"],
        ["deepseek-v3"] =
        [
            @"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
            @"[!""#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ["starcoder"] = ["DIGITS", "GPT2"],
        ["smollm"] = ["DIGITS", "GPT2"],
        ["falcon"] = ["PUNCTUATION", "GPT2", "RUNS", "[0-9][0-9][0-9]"],
        ["gpt-2"] = ["GPT2"],
        ["mpt"] = ["GPT2"],
    };

    /// <summary>The ways of cutting that files can be written for.</summary>
    public static IEnumerable<string> PreTokenizers => Patterns.Keys;

    /// <summary>Writes <c>tokenizer.json</c> and <c>tokenizer_config.json</c>.</summary>
    /// <param name="vocabulary">The vocabulary.</param>
    /// <param name="folder">An existing folder.</param>
    /// <param name="mergesAsPairs">Write merges as arrays of two, as newer files do.</param>
    public static void Write(Vocabulary vocabulary, string folder, bool mergesAsPairs = false)
    {
        var tokenizer = Tokenizer.FromVocabulary(vocabulary);
        var isPieces = vocabulary.Scores.Count > 0;
        var (vocab, added) = (new JsonObject(), new JsonArray());
        for (var id = 0; id < vocabulary.Tokens.Count; id++)
        {
            var (token, type) = (vocabulary.Tokens[id], vocabulary.Types[id]);
            if (type is TokenType.Control or TokenType.UserDefined or TokenType.Unknown)
                added.Add(new JsonObject
                {
                    ["id"] = id,
                    ["content"] = token,
                    ["special"] = type != TokenType.UserDefined,
                    ["rstrip"] = vocabulary.ModelName == "Phi3" && token is not ("<s>" or "<unk>" or "<|endoftext|>"),
                });
            if (type is not TokenType.UserDefined)
                vocab[token] = id;
        }

        var merges = isPieces ? MergesOf(vocabulary) : vocabulary.Merges;
        var model = new JsonObject
        {
            ["type"] = "BPE",
            ["unk_token"] = isPieces ? vocabulary.Tokens[vocabulary.UnknownId!.Value] : null,
            ["byte_fallback"] = isPieces,
            ["ignore_merges"] = vocabulary.Pre is "llama-bpe" or "tekken",
            ["vocab"] = vocab,
            ["merges"] = new JsonArray([.. merges.Select(merge => mergesAsPairs ? Pair(merge) : (JsonNode)merge)]),
        };
        var json = new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = added,
            ["normalizer"] = isPieces ? JsonNode.Parse(
                """{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}""") : null,
            ["pre_tokenizer"] = isPieces ? null : PreTokenizer(vocabulary.Pre),
            ["post_processor"] = tokenizer.AddsBos ? Template(vocabulary.Tokens[tokenizer.BosId!.Value]) : JsonNode.Parse(ByteLevel),
            ["model"] = model,
        };
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), json.ToJsonString(Unescaped));
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), JsonSerializer.Serialize(new
        {
            bos_token = tokenizer.BosId is { } bos ? vocabulary.Tokens[bos] : null,
            eos_token = tokenizer.EosId is { } eos ? new { content = vocabulary.Tokens[eos] } : null,
        }));
    }

    private static JsonArray Pair(string merge) => new JsonArray([.. merge.Split(' ').Select(part => JsonValue.Create(part))]);

    private static JsonObject Template(string bos) => new()
    {
        ["type"] = "TemplateProcessing",
        ["single"] = new JsonArray(
            new JsonObject { ["SpecialToken"] = new JsonObject { ["id"] = bos, ["type_id"] = 0 } },
            new JsonObject { ["Sequence"] = new JsonObject { ["id"] = "A", ["type_id"] = 0 } }),
    };

    private static JsonObject PreTokenizer(string pre)
    {
        var steps = Patterns[pre].Select(pattern => pattern switch
        {
            "GPT2" => JsonNode.Parse(ByteLevel),
            "DIGITS" => JsonNode.Parse("""{"type":"Digits","individual_digits":true}"""),
            "RUNS" => JsonNode.Parse("""{"type":"Digits","individual_digits":false}"""),
            "PUNCTUATION" => JsonNode.Parse("""{"type":"Punctuation","behavior":"Contiguous"}"""),
            _ => new JsonObject
            {
                ["type"] = "Split",
                ["pattern"] = new JsonObject { ["Regex"] = pattern },
                ["behavior"] = "Isolated",
                ["invert"] = false,
            },
        }).ToList();
        if (!Patterns[pre].Contains("GPT2"))
            steps.Add(JsonNode.Parse(ByteLevel.Replace("true}", "false}", StringComparison.Ordinal)));
        return steps.Count == 1 ? (JsonObject)steps[0]! : new JsonObject
        {
            ["type"] = "Sequence",
            ["pretokenizers"] = new JsonArray([.. steps]),
        };
    }

    /// <summary>All ways to put a piece together from two, the pieces with the highest scores first.</summary>
    private static List<string> MergesOf(Vocabulary vocabulary)
    {
        var pieces = vocabulary.Tokens.Where((_, id) => vocabulary.Types[id] == TokenType.Normal).ToHashSet();
        var merges = new List<(float Score, string Left, string Right)>();
        for (var id = 0; id < vocabulary.Tokens.Count; id++)
        {
            var token = vocabulary.Tokens[id];
            for (var at = 1; at < token.Length && vocabulary.Types[id] == TokenType.Normal; at++)
                if (pieces.Contains(token[..at]) && pieces.Contains(token[at..]))
                    merges.Add((vocabulary.Scores[id], token[..at], token[at..]));
        }
        return [.. merges.OrderByDescending(merge => merge.Score).ThenByDescending(merge => merge.Left.Length)
            .Select(merge => $"{merge.Left} {merge.Right}")];
    }
}
