using System.Text.Json;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

/// <summary>The prompts with the texts that the sample model must answer at temperature 0.</summary>
internal static class ExpectedAnswers
{
    private static readonly JsonSerializerOptions Options = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    public static IReadOnlyList<ExpectedAnswer> All { get; } =
        JsonSerializer.Deserialize<ExpectedFile>(
            File.ReadAllText(Repository.Path("src/Distributed.Cli/Sample/expected.json")), Options)!.Cases;
}

internal sealed record ExpectedFile(IReadOnlyList<ExpectedAnswer> Cases);

internal sealed record ExpectedAnswer(string Prompt, string Text);
