using System.Text.Json;

namespace Distributed.Core.HuggingFace;

/// <summary>How a tokenizer of pieces writes spaces: as U+2581, by its normalizer or its pre-tokenizer. No other change is known.</summary>
internal static class PieceNormalizer
{
    private const string Space = "\u2581";

    /// <summary>Whether a space goes in front of a text.</summary>
    /// <param name="json">The tokenizer.</param>
    /// <param name="path">Its file, for the error.</param>
    /// <exception cref="InvalidInputException">A step is not one of those known.</exception>
    public static bool AddsSpacePrefix(JsonElement json, string path)
    {
        var adds = false;
        foreach (var step in TokenizerSteps.Of(json, "normalizer"))
        {
            switch (step.FindString("type"))
            {
                case "Prepend" when step.FindString("prepend") == Space:
                    adds = true;
                    break;
                case "Replace" when step.Find("pattern")?.FindString("String") == " " && step.FindString("content") == Space:
                    break;
                default:
                    throw TokenizerSteps.NotKnown("normalizer", step, "must put U+2581 in front, or for spaces", path);
            }
        }

        foreach (var step in TokenizerSteps.Of(json, "pre_tokenizer"))
        {
            switch (step.FindString("type"))
            {
                case "Metaspace" when step.FindString("replacement") is null or Space:
                    adds |= step.FindString("prepend_scheme") is { } scheme ? scheme != "never" : step.FindBool("add_prefix_space") ?? true;
                    break;
                // There are no spaces left to cut at.
                case "Split" when step.Find("pattern")?.FindString("String") == " ":
                    break;
                default:
                    throw TokenizerSteps.NotKnown("pre_tokenizer", step, "must be Metaspace with U+2581", path);
            }
        }
        return adds;
    }
}
