using System.Text.Json;

namespace Distributed.Cli.Lab;

/// <summary>Something to ask for, again and again.</summary>
/// <param name="Question">The message.</param>
/// <param name="Temperature">0 is greedy.</param>
/// <param name="Seed">For the other ones.</param>
/// <param name="MaxTokens">The longest answer.</param>
internal sealed record SoakRequest(string Question, float Temperature, int Seed, int MaxTokens)
{
    private const int Prompts = 12;

    private static readonly string[] Questions =
    [
        "Tell me a story about a fox.", "What is a KV cache?", "Tell me a story about a boat and the sea.", "Hello!",
    ];

    /// <summary>What an undisturbed run answers.</summary>
    public string Expected { get; set; } = "";

    /// <summary>Greedy ones and sampled ones, with short prompts and such as take several steps to prefill.</summary>
    public static IReadOnlyList<SoakRequest> All(int maxTokens) =>
    [
        .. Enumerable.Range(0, Prompts).Select(i => new SoakRequest(
            (i % 3 == 2 ? string.Concat(Enumerable.Repeat("Once there was a fox who lived by the sea. ", 12)) : "") + Questions[i % Questions.Length],
            // So hot that hardly any answer ends by itself.
            i % 3 == 0 ? 0 : 2, i, maxTokens)),
    ];

    /// <summary>The request's body.</summary>
    /// <param name="session">The session that it belongs to; null for none.</param>
    public string Body(string? session) => JsonSerializer.Serialize(new Dictionary<string, object?>
    {
        // Null counts as absent.
        ["session_id"] = session,
        ["stream"] = true,
        ["temperature"] = Temperature,
        ["top_k"] = 0,
        ["top_p"] = 1,
        ["min_p"] = 0,
        ["repeat_penalty"] = 1.1,
        ["seed"] = Seed,
        ["max_tokens"] = MaxTokens,
        ["messages"] = new[] { new Dictionary<string, string> { ["role"] = "user", ["content"] = Question } },
    });
}
