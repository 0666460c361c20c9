using System.Globalization;
using Distributed.Core;

namespace Distributed.Cluster.Config;

/// <summary>A key of a record of the config: its name, and how its value changes the record.</summary>
/// <param name="Name">The name, in kebab-case.</param>
/// <param name="Set">Gives the record with the value read; throws <see cref="InvalidInputException"/> for a value it cannot read.</param>
/// <param name="IsRequired">Missing is an error.</param>
internal sealed record ConfigKey<T>(string Name, Func<T, ConfigValue, T> Set, bool IsRequired = false);

/// <summary>Turns YAML into records by their tables of <see cref="ConfigKey{T}"/>, going on after each error.</summary>
internal sealed class ConfigBinder
{
    private const int MaxKeyLength = 64;

    private readonly string? _source;

    /// <param name="source">The file, as errors name it; null for flags.</param>
    /// <param name="folder">The folder that relative paths count from.</param>
    public ConfigBinder(string? source, string folder) => (_source, Folder) = (source, folder);

    /// <summary>The folder that relative paths count from.</summary>
    public string Folder { get; }

    /// <summary>All errors so far.</summary>
    public List<InputError> Errors { get; } = [];

    /// <summary>Keys whose values are missing or could not be read.</summary>
    public HashSet<string> Unread { get; } = [];

    /// <summary>The line of every key read so far.</summary>
    public Dictionary<string, int> Lines { get; } = [];

    /// <summary>Reads a record: unknown, repeated and missing keys and unreadable values become errors and leave their default.</summary>
    public T Bind<T>(T record, string path, YamlNode node, IReadOnlyList<ConfigKey<T>> keys)
    {
        Lines.TryAdd(path, node.Line);
        if (node is not YamlMap map)
        {
            var names = string.Join(", ", keys.Select(key => key.Name));
            Unread.Add(path);
            Errors.Add(new InputError(path.Length > 0 ? path : "yaml", node.Kind, $"must have keys with values: {names}", _source, node.Line));
            return record;
        }

        HashSet<string> seen = [];
        foreach (var entry in map.Entries)
        {
            var name = Printable(entry.Key);
            var full = path.Length > 0 ? $"{path}.{name}" : name;
            if (!seen.Add(entry.Key))
            {
                Errors.Add(new InputError(full, null, $"is given twice, first in line {Lines.GetValueOrDefault(full, node.Line)}", _source, entry.Line));
                continue;
            }

            Lines[full] = entry.Line;
            if (keys.FirstOrDefault(key => key.Name == entry.Key) is { } known)
                Try(entry.Line, () => record = known.Set(record, new ConfigValue(this, full, entry.Value)));
            else
                Errors.Add(new InputError(full, null, $"is not a known key{NearestName.Suggest(entry.Key, keys.Select(key => key.Name))}", _source, entry.Line));
        }

        foreach (var key in keys.Where(key => key.IsRequired && !seen.Contains(key.Name)))
        {
            var full = path.Length > 0 ? $"{path}.{key.Name}" : key.Name;
            Unread.Add(full);
            Errors.Add(new InputError(full, null, "is missing", _source, node.Line));
        }

        return record;
    }

    /// <summary>Reads a value that stands in a line, or adds an error.</summary>
    public void Try(int? line, Action read)
    {
        try
        {
            read();
        }
        catch (InvalidInputException exception)
        {
            Unread.UnionWith(exception.Errors.Select(error => error.Key));
            Errors.AddRange(exception.Errors.Select(error => error with { Source = _source, Line = line }));
        }
    }

    private static string Printable(string key)
    {
        var text = key.Length > MaxKeyLength ? key[..MaxKeyLength] + "…" : key;
        return string.Concat(text.Select(c => char.IsControl(c) ? '\uFFFD' : c));
    }
}

/// <summary>The value of a key, read as what the key wants. Every reader throws <see cref="InvalidInputException"/> for anything else.</summary>
/// <param name="Binder">Whom nested records are bound by.</param>
/// <param name="Key">The full key, e.g. <c>workers[1].address</c>.</param>
/// <param name="Node">The value.</param>
internal sealed record ConfigValue(ConfigBinder Binder, string Key, YamlNode Node)
{
    /// <summary>Reads text; false where it breaks the rule.</summary>
    public delegate bool Parser<T>(string text, out T value);

    public bool IsText(string text) => Node is YamlScalar scalar && scalar.Value == text;

    public string Text()
    {
        return Node is YamlScalar { IsEmpty: false } scalar ? scalar.Value
            : Node is YamlScalar ? throw Error(null, "has no value: give one, or leave the key out")
            : throw Error(Node.Kind, "must be a single value");
    }

    public T Parse<T>(Parser<T> parser, string rule)
    {
        var text = Text();
        return parser(text, out var value) ? value : throw Error(text, rule);
    }

    public int Int() => Parse<int>(
        (text, out value) => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value),
        "must be a whole number");

    /// <summary>One of a table of names.</summary>
    /// <param name="names">The names and what they mean.</param>
    /// <param name="later">Names that will be known one day, for a kinder error.</param>
    public T OneOf<T>(IReadOnlyList<(string Name, T Value)> names, params string[] later)
    {
        var text = Text();
        foreach (var (name, value) in names)
        {
            if (name == text)
                return value;
        }

        var known = string.Join(", ", names.Select(pair => pair.Name));
        throw Error(text, later.Contains(text) ? $"is not there yet: this version knows {known}" : $"must be one of {known}");
    }

    /// <summary>A path; a relative one counts from the binder's folder.</summary>
    public string FilePath()
    {
        var path = Text();
        return path.Contains('\0') ? throw Error(path, "must be the path of a file") : Path.GetFullPath(path, Binder.Folder);
    }

    /// <summary>A list.</summary>
    /// <param name="what">What it must be, for the error where it is no list.</param>
    /// <param name="read">Reads an item.</param>
    /// <param name="unread">Stands for an item that cannot be read, so that the others keep their places.</param>
    public IReadOnlyList<T> List<T>(string what, Func<ConfigValue, T> read, T unread)
    {
        if (Node is not YamlList list)
            throw Error(Node.Kind, $"must be {what}");
        var items = new T[list.Items.Count];
        Array.Fill(items, unread);
        foreach (var (i, node) in list.Items.Index())
        {
            var item = new ConfigValue(Binder, $"{Key}[{i}]", node);
            Binder.Lines[item.Key] = node.Line;
            Binder.Try(node.Line, () => items[i] = read(item));
        }

        return items;
    }

    /// <summary>Keys of the author's own choosing with one kind of value.</summary>
    public IReadOnlyDictionary<string, T> Dictionary<T>(string what, Func<ConfigValue, T> read)
    {
        if (Node is not YamlMap map)
            throw Error(Node.Kind, $"must be {what}");
        var keys = map.Entries.Select(entry => entry.Key).Distinct()
            .Select(name => new ConfigKey<Dictionary<string, T>>(name, (all, value) =>
            {
                all[name] = read(value);
                return all;
            }));
        return Binder.Bind([], Key, Node, [.. keys]);
    }

    public InvalidInputException Error(string? value, string rule) => new(Key, value, rule);
}
