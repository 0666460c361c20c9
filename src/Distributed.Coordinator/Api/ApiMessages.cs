using System.Text.Json;
using System.Text.Json.Serialization;

namespace Distributed.Coordinator.Api;

// The JSON of the API; names are snake_case on the wire. What every field means: https://platform.openai.com/docs/api-reference/chat

/// <summary>The body of a chat completion request.</summary>
internal sealed record ChatRequest
{
    public string? Model { get; init; }

    public IReadOnlyList<ChatRequestMessage?>? Messages { get; init; }

    public float? Temperature { get; init; }

    public float? TopP { get; init; }

    public int? TopK { get; init; }

    public float? MinP { get; init; }

    public float? RepeatPenalty { get; init; }

    public int? RepeatLastN { get; init; }

    public long? Seed { get; init; }

    public int? MaxTokens { get; init; }

    public int? MaxCompletionTokens { get; init; }

    /// <summary>A text or an array of texts.</summary>
    public JsonElement Stop { get; init; }

    public bool? Stream { get; init; }

    public StreamOptions? StreamOptions { get; init; }

    [JsonPropertyName("logprobs")]
    public bool? LogProbs { get; init; }

    [JsonPropertyName("top_logprobs")]
    public int? TopLogProbs { get; init; }

    /// <summary>An extension: the KV cache of this session is used, and kept for its next request.</summary>
    public string? SessionId { get; init; }

    /// <summary>All other fields.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Others { get; set; }
}

internal sealed record StreamOptions(bool? IncludeUsage);

internal sealed record ChatRequestMessage
{
    public string? Role { get; init; }

    /// <summary>A text or an array of parts.</summary>
    public JsonElement Content { get; init; }

    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Others { get; set; }
}

/// <summary>A whole answer, or with object <c>chat.completion.chunk</c> a piece of one.</summary>
internal sealed record ChatCompletion(string Id, string Object, long Created, string Model, IReadOnlyList<ChatChoice> Choices)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public Usage? Usage { get; init; }

    /// <summary>An extension: where the time went.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public Timings? Distributed { get; init; }
}

internal sealed record ChatChoice(int Index, string? FinishReason)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ChatAnswer? Message { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ChatAnswer? Delta { get; init; }

    [JsonPropertyName("logprobs")]
    public LogProbs? LogProbs { get; init; }
}

internal sealed record ChatAnswer
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Role { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Content { get; init; }
}

internal sealed record LogProbs(IReadOnlyList<TokenProbability> Content);

internal sealed record TokenProbability(string Token, [property: JsonPropertyName("logprob")] float LogProb, IReadOnlyList<int> Bytes)
{
    [JsonPropertyName("top_logprobs")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<TokenProbability>? Top { get; init; }
}

internal sealed record Usage(int PromptTokens, int CompletionTokens, int TotalTokens, PromptTokensDetails PromptTokensDetails);

internal sealed record PromptTokensDetails(int CachedTokens);

/// <summary>Where an answer's time went, ms.</summary>
internal sealed record Timings(
    double WaitingMs, double PrefillMs, double PrefillTokensPerSecond, double DecodeMs, double DecodeTokensPerSecond,
    IReadOnlyList<StageTimings> Stages, IReadOnlyList<HopTimings> Hops);

internal sealed record StageTimings(int Stage, string Worker, string Device, double QueueMsPerToken, double ComputeMsPerToken);

internal sealed record HopTimings(string To, double SerializeMsPerToken, double WireMsPerToken, double DeserializeMsPerToken);

internal sealed record ModelList(string Object, IReadOnlyList<ModelEntry> Data);

internal sealed record ModelEntry(string Id, string Object, long Created, string OwnedBy);

internal sealed record HealthBody(string Status)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Reason { get; init; }
}

/// <summary>What comes back instead of what was asked for.</summary>
/// <param name="Error">What is wrong.</param>
public sealed record ErrorBody(ErrorDetail Error);

/// <summary>An error in OpenAI's words.</summary>
/// <param name="Message">What is wrong, and what to do about it.</param>
/// <param name="Type">The kind of error.</param>
/// <param name="Param">The parameter concerned; null where none is.</param>
/// <param name="Code">A name for programs; null where there is none.</param>
public sealed record ErrorDetail(string Message, string Type, string? Param, string? Code);

/// <summary>How these types are read and written.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, MaxDepth = 32)]
[JsonSerializable(typeof(ChatRequest))]
[JsonSerializable(typeof(ChatCompletion))]
[JsonSerializable(typeof(ModelList))]
[JsonSerializable(typeof(ModelEntry))]
[JsonSerializable(typeof(HealthBody))]
[JsonSerializable(typeof(ErrorBody))]
internal sealed partial class ApiJson : JsonSerializerContext;
