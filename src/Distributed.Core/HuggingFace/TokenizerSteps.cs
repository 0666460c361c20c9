using System.Text.Json;

namespace Distributed.Core.HuggingFace;

/// <summary>The steps of a part of <c>tokenizer.json</c>: one, or a sequence of them.</summary>
internal static class TokenizerSteps
{
    /// <summary>The steps of <c>normalizer</c> or <c>pre_tokenizer</c>, in order; none where there is no such part.</summary>
    public static IEnumerable<JsonElement> Of(JsonElement json, string part)
    {
        if (json.Find(part) is not { } step)
            return [];
        // The list is called normalizers, but pretokenizers.
        var list = step.Find($"{part.Replace("_", "", StringComparison.Ordinal)}s");
        return step.FindString("type") == "Sequence" && list is { ValueKind: JsonValueKind.Array } steps ? steps.EnumerateArray() : [step];
    }

    /// <summary>The error of a step this build does not know.</summary>
    public static InvalidInputException NotKnown(string part, JsonElement step, string rule, string path) =>
        new(part, step.GetRawText(), rule, path);
}
