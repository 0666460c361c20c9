using System.CommandLine;
using System.Globalization;
using Distributed.Core.Sampling;

namespace Distributed.Cli.Commands;

/// <summary>
/// How the next token is drawn, and when an answer ends. The rules and the defaults are those of <see cref="SamplingOptions"/>.
/// </summary>
internal static class SamplingFlags
{
    private static readonly SamplingOptions Defaults = new();

    private static readonly Option<float?> Temperature =
        Number("--temperature", $"0 is greedy (default {Defaults.Temperature})", f => Defaults with { Temperature = f });

    private static readonly Option<int?> TopK =
        Flag.Whole("--top-k", $"Keep the N most probable tokens, 0 for all (default {Defaults.TopK})", 0, int.MaxValue);

    private static readonly Option<float?> TopP =
        Number("--top-p", $"Keep the most probable tokens up to this probability (default {Defaults.TopP})", f => Defaults with { TopP = f });

    private static readonly Option<float?> MinP =
        Number("--min-p", $"Drop tokens below this share of the best one's (default {Defaults.MinP})", f => Defaults with { MinP = f });

    private static readonly Option<float?> RepeatPenalty = Number(
        "--repeat-penalty", $"Above 1 disfavours recent tokens (default {Defaults.RepeatPenalty})", f => Defaults with { RepeatPenalty = f });

    private static readonly Option<ulong?> Seed =
        Flag.Create("--seed", "N", "The same seed gives the same text (default random)", (string text, out ulong? seed) =>
        {
            var isNumber = ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number);
            seed = number;
            return isNumber ? null : $"must be a whole number from 0 to {ulong.MaxValue}";
        });

    /// <summary>The most tokens to generate; null for as many as the context holds.</summary>
    public static Option<int?> MaxTokens { get; } = Flag.Whole("--max-tokens", "The most tokens to generate", 1, int.MaxValue, "-n");

    /// <summary>Texts that end the answer.</summary>
    public static Option<string[]> Stop { get; } = new("--stop")
    {
        HelpName = "TEXT",
        Description = "End the answer before this text; may be given several times",
        AllowMultipleArgumentsPerToken = false,
        Validators = { result =>
        {
            if (result.Tokens.Any(token => token.Value.Length == 0))
                result.AddError("--stop: must not be empty");
        } },
    };

    /// <summary>Adds the flags to a verb.</summary>
    public static void AddTo(Command verb)
    {
        foreach (var option in (Option[])[MaxTokens, Temperature, TopK, TopP, MinP, RepeatPenalty, Seed, Stop])
            verb.Options.Add(option);
    }

    /// <summary>What the flags ask for, with a random seed when none is given.</summary>
    public static SamplingOptions Read(ParseResult flags) => new()
    {
        Temperature = flags.GetValue(Temperature) ?? Defaults.Temperature,
        TopK = flags.GetValue(TopK) ?? Defaults.TopK,
        TopP = flags.GetValue(TopP) ?? Defaults.TopP,
        MinP = flags.GetValue(MinP) ?? Defaults.MinP,
        RepeatPenalty = flags.GetValue(RepeatPenalty) ?? Defaults.RepeatPenalty,
        Seed = flags.GetValue(Seed) ?? (ulong)Random.Shared.NextInt64(1, uint.MaxValue),
    };

    private static Option<float?> Number(string name, string description, Func<float, SamplingOptions> with) =>
        Flag.Number(name, description, value => with(value).Validate().FirstOrDefault()?.Rule);
}
