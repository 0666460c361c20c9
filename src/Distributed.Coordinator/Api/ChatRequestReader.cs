using System.Text.Json;
using Distributed.Coordinator.Scheduling;
using Distributed.Core.Chat;
using Distributed.Core.Sampling;

namespace Distributed.Coordinator.Api;

/// <summary>What a chat completion request asks for, checked.</summary>
/// <param name="Messages">The chat so far, at least one message.</param>
/// <param name="Sampling">How tokens are drawn.</param>
/// <param name="MaxTokens">The most tokens; null until the context is full.</param>
/// <param name="Stop">Texts to stop at.</param>
/// <param name="Stream">Answer piece by piece.</param>
/// <param name="IncludeUsage">End a stream with the counts of tokens.</param>
/// <param name="TopLogProbs">How many log-probabilities to report beside each token's own; null for none at all.</param>
/// <param name="Session">The session; null for none.</param>
internal sealed record ChatCall(
    IReadOnlyList<ChatMessage> Messages,
    SamplingOptions Sampling,
    int? MaxTokens,
    IReadOnlyList<string> Stop,
    bool Stream,
    bool IncludeUsage,
    int? TopLogProbs,
    string? Session)
{
    /// <summary>The client left the seed to the coordinator.</summary>
    public bool AnySeed { get; init; }
}

/// <summary>
/// Reads chat completion requests. What would change the answer and is not there yet is refused by name; fields that change
/// nothing, or are not known to anybody, are passed over.
/// </summary>
internal static class ChatRequestReader
{
    private const int MaxStops = 4;
    private static readonly string[] Roles = ["system", "user", "assistant"];

    // Fields that would change the answer, with the value that does not.
    private static readonly (string Name, Func<JsonElement, bool> IsNeutral)[] Unsupported =
    [
        ("n", value => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var n) && n == 1),
        ("tools", IsEmptyArray),
        ("tool_choice", value => IsText(value, "none") || IsText(value, "auto")),
        ("functions", IsEmptyArray),
        ("function_call", value => IsText(value, "none") || IsText(value, "auto")),
        ("response_format", value => value.ValueKind == JsonValueKind.Object
            && value.TryGetProperty("type", out var type) && IsText(type, "text")),
        ("logit_bias", value => value.ValueKind == JsonValueKind.Object && !value.EnumerateObject().Any()),
        ("presence_penalty", IsZero),
        ("frequency_penalty", IsZero),
        ("modalities", value => value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(part => IsText(part, "text"))),
        ("audio", _ => false),
        ("web_search_options", _ => false),
    ];

    /// <summary>Reads a request's body.</summary>
    /// <exception cref="ApiException">It breaks a rule.</exception>
    public static ChatCall Read(ChatRequest request)
    {
        foreach (var (name, isNeutral) in Unsupported)
        {
            if (request.Others?.TryGetValue(name, out var value) == true && value.ValueKind != JsonValueKind.Null && !isNeutral(value))
                throw new ApiException(OpenAiError.Unsupported(name, $"{name} is not supported"));
        }

        if (request.TopLogProbs is not null && request.LogProbs != true)
            throw Invalid("top_logprobs", "top_logprobs needs logprobs to be true");
        if (request.TopLogProbs is < 0 or > GenerationRequest.MaxTopLogProbs)
        {
            throw Invalid(
                "top_logprobs", $"top_logprobs is {request.TopLogProbs}: must lie between 0 and {GenerationRequest.MaxTopLogProbs}");
        }

        var maxTokens = request.MaxCompletionTokens ?? request.MaxTokens;
        if (maxTokens < 1)
        {
            var param = request.MaxCompletionTokens is null ? "max_tokens" : "max_completion_tokens";
            throw Invalid(param, $"{param} is {maxTokens}: must be 1 or more");
        }

        if (request.StreamOptions is not null && request.Stream != true)
            throw Invalid("stream_options", "stream_options needs stream to be true");
        return new ChatCall(
            ReadMessages(request.Messages),
            ReadSampling(request),
            maxTokens,
            ReadStop(request.Stop),
            request.Stream == true,
            request.StreamOptions?.IncludeUsage == true,
            request.LogProbs == true ? request.TopLogProbs ?? 0 : null,
            request.SessionId)
        {
            AnySeed = request.Seed is null,
        };
    }

    private static SamplingOptions ReadSampling(ChatRequest request)
    {
        var defaults = new SamplingOptions();
        var sampling = new SamplingOptions
        {
            Temperature = request.Temperature ?? defaults.Temperature,
            TopK = request.TopK ?? defaults.TopK,
            TopP = request.TopP ?? defaults.TopP,
            MinP = request.MinP ?? defaults.MinP,
            RepeatPenalty = request.RepeatPenalty ?? defaults.RepeatPenalty,
            RepeatLastN = request.RepeatLastN ?? defaults.RepeatLastN,
            Seed = unchecked((ulong)(request.Seed ?? Random.Shared.NextInt64())),
        };
        if (sampling.Validate("").FirstOrDefault() is { } error)
            throw Invalid(error.Key.Replace('-', '_'), error.ToString());
        return sampling;
    }

    private static List<ChatMessage> ReadMessages(IReadOnlyList<ChatRequestMessage?>? messages)
    {
        if (messages is null or { Count: 0 })
            throw Invalid("messages", "messages must have at least one message");
        return [.. messages.Select((message, index) => ReadMessage(message, $"messages[{index}]"))];
    }

    private static ChatMessage ReadMessage(ChatRequestMessage? message, string key)
    {
        // OpenAI's newer name for the system's role.
        var role = message?.Role == "developer" ? "system" : message?.Role;
        if (role is "tool" or "function" || message?.Others?.GetValueOrDefault("tool_calls").ValueKind is JsonValueKind.Array)
            throw new ApiException(OpenAiError.Unsupported($"{key}.role", $"{key}: tools are not supported"));
        if (role is null || !Roles.Contains(role))
            throw Invalid($"{key}.role", $"{key}.role must be one of {string.Join(", ", Roles)}");
        return new ChatMessage(role, ReadContent(message!.Content, $"{key}.content"));
    }

    private static string ReadContent(JsonElement content, string key) => content.ValueKind switch
    {
        JsonValueKind.String => content.GetString()!,
        JsonValueKind.Array => string.Concat(content.EnumerateArray().Select((part, index) => ReadPart(part, $"{key}[{index}]"))),
        _ => throw Invalid(key, $"{key} must be a text or an array of text parts"),
    };

    private static string ReadPart(JsonElement part, string key)
    {
        if (part.ValueKind != JsonValueKind.Object || !part.TryGetProperty("type", out var type) || type.ValueKind != JsonValueKind.String)
            throw Invalid(key, $"{key} must be an object with a type");
        if (type.GetString() != "text")
            throw new ApiException(OpenAiError.Unsupported(key, $"{key} is of type {type.GetString()}: only text is supported"));
        return part.TryGetProperty("text", out var text) && text.ValueKind == JsonValueKind.String
            ? text.GetString()!
            : throw Invalid($"{key}.text", $"{key}.text must be a text");
    }

    private static IReadOnlyList<string> ReadStop(JsonElement stop)
    {
        const string Rule = "stop must be a text or an array of up to 4 texts, none of them empty";
        IReadOnlyList<string> texts = stop.ValueKind switch
        {
            JsonValueKind.Undefined or JsonValueKind.Null => [],
            JsonValueKind.String => [stop.GetString()!],
            JsonValueKind.Array when stop.GetArrayLength() <= MaxStops =>
                [.. stop.EnumerateArray().Select(text => text.ValueKind == JsonValueKind.String ? text.GetString()! : "")],
            _ => throw Invalid("stop", Rule),
        };
        return texts.Contains("") ? throw Invalid("stop", Rule) : texts;
    }

    private static ApiException Invalid(string param, string message) => new(OpenAiError.Invalid(param, message));

    private static bool IsText(JsonElement value, string text) => value.ValueKind == JsonValueKind.String && value.GetString() == text;

    private static bool IsZero(JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number == 0;

    private static bool IsEmptyArray(JsonElement value) => value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0;
}
