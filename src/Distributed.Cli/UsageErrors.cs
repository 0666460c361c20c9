using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;

namespace Distributed.Cli;

/// <summary>What is wrong with the words of a command line, all at once.</summary>
internal static class UsageErrors
{
    /// <summary>Every error, one sentence each; empty when the verb can run (or help is asked for).</summary>
    public static IReadOnlyList<string> Find(ParseResult parsed)
    {
        var misread = FlagsReadAsArguments(parsed);
        var amiss = ValuesAmiss(parsed).ToList();
        if (parsed.Action is not ParseErrorAction)
            return [.. misread.Select(flag => Unknown(flag, parsed)), .. amiss.Select(one => one.Error)];
        if (parsed.CommandResult.Command is { Subcommands.Count: > 0 } group && parsed.UnmatchedTokens.Count == 0)
            return [group is RootCommand ? "a verb is missing" : $"{group.Name}: needs one of {Names(group)}"];

        // The parser's own words for what it could not place say less than ours.
        var unplaced = parsed.UnmatchedTokens.Select(word => $"Unrecognized command or argument '{word}'.").ToHashSet();
        unplaced.Add("Required command was not provided.");
        var known = amiss.Select(one => one.Symbol).ToHashSet();
        var others = parsed.Errors
            .Where(error => !known.Contains(error.SymbolResult) && !unplaced.Contains(error.Message))
            .Select(error => error.Message);
        // Behind a flag that is none, nobody knows what its value and what an argument was meant to be.
        var words = misread.Count > 0 ? parsed.UnmatchedTokens.Where(LooksLikeFlag) : parsed.UnmatchedTokens;
        return [.. misread.Concat(words).Select(word => Unknown(word, parsed)), .. amiss.Select(one => one.Error), .. others];
    }

    /// <summary>Words that look like flags but were taken for a verb's argument, because the verb has no such flag.</summary>
    private static List<string> FlagsReadAsArguments(ParseResult parsed)
    {
        var endOfFlags = parsed.Tokens.Select(token => token.Type).ToList().IndexOf(TokenType.DoubleDash);
        var arguments = parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(argument => argument.Tokens);
        return
        [
            .. arguments
                .Where(token => LooksLikeFlag(token.Value))
                .Where(token => endOfFlags < 0 || parsed.Tokens.Take(endOfFlags).Contains(token))
                .Select(token => token.Value),
        ];
    }

    /// <summary>Flags and arguments with fewer or more values than they take.</summary>
    private static IEnumerable<(SymbolResult? Symbol, string Error)> ValuesAmiss(ParseResult parsed)
    {
        var verb = parsed.CommandResult.Command;
        if (parsed.Action is System.CommandLine.Help.HelpAction)
            yield break;
        var flags = verb.Options.Concat(parsed.RootCommandResult.Command.Options)
            .SelectMany(option => option.Aliases.Append(option.Name)).ToHashSet();
        foreach (var option in verb.Options)
        {
            var result = parsed.GetResult(option);
            var (least, most) = (option.Arity.MinimumNumberOfValues, option.Arity.MaximumNumberOfValues);
            if (result is null or { Implicit: true })
            {
                if (option.Required)
                    yield return (result, $"{option.Name}: is missing");
            }
            else if (result.Tokens.Count < least)
                yield return (result, $"{option.Name}: needs a value{(option.HelpName is { } value ? $", {value}" : "")}");
            else if (result.Tokens.Count > most)
                yield return (result, $"{option.Name} is {string.Join(" and ", result.Tokens.Select(token => token.Value))}: must be given once");
            else if (result.Tokens.FirstOrDefault(token => flags.Contains(token.Value)) is { } flag)
                yield return (result, $"{option.Name} is {flag.Value}: needs a value, and {flag.Value} is a flag");
        }

        foreach (var argument in verb.Arguments)
            if (parsed.GetResult(argument) is var result && (result?.Tokens.Count ?? 0) < argument.Arity.MinimumNumberOfValues)
                yield return (result, $"{argument.Name}: is missing");
    }

    private static string AsText(string word) =>
        word.Contains(' ') || char.IsAsciiDigit(word[1]) ? "; a text that begins with - goes behind --" : "";

    private static bool LooksLikeFlag(string word) => word is ['-', _, ..];

    private static string Unknown(string word, ParseResult parsed)
    {
        var verb = parsed.CommandResult.Command;
        if (LooksLikeFlag(word))
            return $"{word}: {(verb is RootCommand ? "there is no such flag" : $"{verb.Name} has no such flag")}{AsText(word)}";
        return verb is RootCommand ? $"{word}: is no verb; the verbs are {Names(verb)}"
            : verb.Subcommands.Count > 0 ? $"{word}: {verb.Name} has no such verb, it has {Names(verb)}"
            : $"{word}: one word too many; a text of several words goes in quotes";
    }

    private static string Names(Command group) => string.Join(", ", group.Subcommands.Select(command => command.Name));
}
