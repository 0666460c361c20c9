using System.Text.Json;

namespace Distributed.Testing;

/// <summary>A reference model with prompts and the logits they give.</summary>
/// <param name="Path">The GGUF file.</param>
/// <param name="Prompts">Its prompts.</param>
/// <param name="RmsToExact">For quantised models: how far a run that also rounds activations is from the exact logits.</param>
public sealed record GoldenModel(string Path, IReadOnlyList<GoldenPrompt> Prompts, double RmsToExact)
{
    /// <summary>Reads what a JSON file beside a model says.</summary>
    public static GoldenModel Read(string jsonPath)
    {
        var folder = System.IO.Path.GetDirectoryName(jsonPath)!;
        using var json = JsonDocument.Parse(File.ReadAllText(jsonPath));
        var root = json.RootElement;
        var rms = root.GetProperty("observed").TryGetProperty("rms_logits_vs_exact", out var value) ? value.GetDouble() : 0;
        return new GoldenModel(
            In("model", root), [.. root.GetProperty("prompts").EnumerateArray().Select(prompt => new GoldenPrompt(
                [.. prompt.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())],
                Golden.ReadF32(In(prompt.TryGetProperty("exact", out _) ? "exact" : "logits", prompt))))],
            rms);

        string In(string key, JsonElement element) => System.IO.Path.Combine(folder, element.GetProperty(key).GetString()!);
    }
}

/// <summary>A prompt and the logits after each of its tokens.</summary>
/// <param name="Ids">Token ids.</param>
/// <param name="Logits">[tokens, vocabulary]</param>
public sealed record GoldenPrompt(int[] Ids, float[] Logits);
