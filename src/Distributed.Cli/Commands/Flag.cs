using System.CommandLine;
using System.Globalization;
using Distributed.Cluster;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary>Reads a flag's text.</summary>
/// <param name="text">As typed.</param>
/// <param name="value">What it means; undefined where a rule is broken.</param>
/// <returns>The rule that the text breaks; null for none.</returns>
internal delegate string? ReadFlag<T>(string text, out T value);

/// <summary>
/// Makes the options of the commands. A wrong value is told with flag, value and rule, and never stops the others from being read.
/// </summary>
internal static class Flag
{
    /// <summary>A flag with a value.</summary>
    /// <param name="name">With its dashes.</param>
    /// <param name="valueName">What stands for the value in the help.</param>
    /// <param name="description">For the help.</param>
    /// <param name="read">What the text means.</param>
    /// <param name="alias">A short form; null for none.</param>
    public static Option<T> Create<T>(string name, string valueName, string description, ReadFlag<T> read, string? alias = null) =>
        new(name, alias is null ? [] : [alias])
        {
            HelpName = valueName,
            Description = description,
            CustomParser = result =>
            {
                var text = result.Tokens[0].Value;
                if (read(text, out var value) is { } rule)
                    result.AddError(new InputError(name, text, rule).ToString());
                return value;
            },
        };

    /// <summary>A flag that is there or not.</summary>
    public static Option<bool> Switch(string name, string description) =>
        new(name) { Description = description, Arity = ArgumentArity.Zero };

    /// <summary>A text that must not be empty; null when the flag is absent.</summary>
    public static Option<string?> Text(string name, string valueName, string description, string? alias = null) =>
        Create(name, valueName, description, (string text, out string? value) =>
        {
            value = text;
            return text.Length == 0 ? "must not be empty" : null;
        }, alias);

    /// <summary>A whole number; null when the flag is absent.</summary>
    public static Option<int?> Whole(string name, string description, int from, int to, string? alias = null) =>
        Create(name, "N", description, (string text, out int? value) =>
        {
            var rule = ReadWhole(text, from, to, out var number);
            value = number;
            return rule;
        }, alias);

    /// <summary>An amount of memory with its unit, in bytes; null when the flag is absent.</summary>
    public static Option<long?> Size(string name, string description) =>
        Create(name, "SIZE", description, (string text, out long? value) =>
        {
            var isSize = ByteSize.TryParse(text, out var bytes);
            value = bytes;
            return isSize ? null : ByteSize.Rule;
        });

    /// <summary>Whole numbers, separated by commas; null when the flag is absent.</summary>
    public static Option<int[]?> Wholes(string name, string description, int from, int to, string? alias = null) =>
        Create(name, "N[,N…]", description, (string text, out int[]? values) =>
        {
            var words = text.Split(',', StringSplitOptions.TrimEntries);
            values = new int[words.Length];
            for (var i = 0; i < words.Length; i++)
                if (ReadWhole(words[i], from, to, out values[i]) is not null)
                    return $"must be whole numbers from {from} to {to}, separated by commas";
            return null;
        }, alias);

    /// <summary>What a flag of <see cref="Wholes"/> says.</summary>
    /// <param name="flags">The command line.</param>
    /// <param name="option">The flag.</param>
    /// <param name="otherwise">What holds where it is absent.</param>
    public static int[] Values(this ParseResult flags, Option<int[]?> option, params int[] otherwise) =>
        flags.GetResult(option) is null ? otherwise : flags.GetValue(option)!;

    /// <summary>A number; null when the flag is absent.</summary>
    /// <param name="name">With its dashes.</param>
    /// <param name="description">For the help.</param>
    /// <param name="rule">The rule a value breaks; null for none.</param>
    public static Option<float?> Number(string name, string description, Func<float, string?> rule) =>
        Create(name, "F", description, (string text, out float? value) =>
        {
            var isNumber = float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number);
            value = number;
            return isNumber ? rule(number) : "must be a number";
        });

    /// <summary>One of a few words.</summary>
    /// <param name="name">With its dashes.</param>
    /// <param name="valueName">What stands for the value in the help.</param>
    /// <param name="description">For the help.</param>
    /// <param name="words">What each word means.</param>
    /// <param name="alias">A short form; null for none.</param>
    public static Option<T?> Word<T>(
        string name, string valueName, string description, IReadOnlyDictionary<string, T> words, string? alias = null)
        where T : struct =>
        Create(name, valueName, description, (string text, out T? value) =>
        {
            var known = words.TryGetValue(text, out var meaning);
            value = meaning;
            return known ? null : $"must be one of {string.Join(", ", words.Keys)}";
        }, alias);

    /// <summary>An address to listen on; null when the flag is absent.</summary>
    public static Option<NodeAddress?> Address(string name, string description) =>
        Create(name, "HOST:PORT", description, (string text, out NodeAddress? address) =>
        {
            address = NodeAddress.TryParse(text);
            return address is null ? NodeAddress.Rule : null;
        });

    /// <summary>
    /// Refuses a flag beside another one. A rule of the flag, not of the verb: a verb's rules hide what is wrong with values.
    /// </summary>
    /// <param name="option">The flag.</param>
    /// <param name="other">The other flag.</param>
    /// <param name="reason">What follows its name.</param>
    public static void NotBeside(this Option option, Option other, string reason = "") => option.Validators.Add(flags =>
    {
        if (!flags.Implicit && flags.GetResult(other) is { Implicit: false })
            flags.AddError($"{option.Name}: cannot stand beside {other.Name}{reason}");
    });

    /// <summary>Refuses a flag beside an argument.</summary>
    public static void NotBeside(this Option option, Argument other) => option.Validators.Add(flags =>
    {
        if (!flags.Implicit && flags.GetResult(other) is { Tokens.Count: > 0 })
            flags.AddError($"{option.Name}: cannot stand beside {other.Name}");
    });

    /// <summary>Refuses a flag without another one.</summary>
    /// <param name="option">The flag.</param>
    /// <param name="others">The flags of which it needs one.</param>
    public static void Needs(this Option option, params Option[] others) => option.Validators.Add(flags =>
    {
        if (!flags.Implicit && others.All(other => flags.GetResult(other) is null or { Implicit: true }))
            flags.AddError($"{option.Name}: needs {string.Join(" or ", others.Select(other => other.Name))}");
    });

    /// <summary>Sizes of memory by device: <c>cpu=8GiB,cuda:0=10GiB</c>, in bytes.</summary>
    public static string? ReadMemory(string text, out Dictionary<string, long> memory)
    {
        memory = [];
        foreach (var entry in text.Split(','))
        {
            var sides = entry.Split('=', StringSplitOptions.TrimEntries);
            if (sides.Length != 2 || sides[0].Length == 0 || !ByteSize.TryParse(sides[1], out var bytes))
                return "must be sizes per device with their units, like cpu=8GiB or cpu=512MiB";
            if (!memory.TryAdd(sides[0], bytes))
                return $"names {sides[0]} twice";
        }

        return null;
    }

    /// <summary>A whole number in a range.</summary>
    public static string? ReadWhole(string text, int from, int to, out int value)
    {
        if (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value) && value >= from && value <= to)
            return null;
        return to == int.MaxValue ? $"must be a whole number of at least {from}" : $"must be a whole number from {from} to {to}";
    }
}
