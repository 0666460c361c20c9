using System.Globalization;
using Distributed.Core;

namespace Distributed.Cluster.Config;

/// <summary>
/// The value of a key, read as what the key wants. Every reader throws <see cref="InvalidInputException"/> for anything else.
/// </summary>
/// <param name="Binder">Whom nested records are bound by.</param>
/// <param name="Key">The full key, e.g. <c>workers[1].address</c>.</param>
/// <param name="Node">The value.</param>
internal sealed record ConfigValue(ConfigBinder Binder, string Key, YamlNode Node)
{
    /// <summary>Reads text; false where it breaks the rule.</summary>
    public delegate bool Parser<T>(string text, out T value);

    public bool IsText(string text) => Node is YamlScalar scalar && scalar.Value == text;

    public string Text() => Node switch
    {
        YamlScalar { IsEmpty: false } scalar => scalar.Value,
        YamlScalar => throw Error(null, "has no value: give one, or leave the key out"),
        _ => throw Error(Node.Kind, "must be a single value"),
    };

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
    public T OneOf<T>(IReadOnlyList<(string Name, T Value)> names)
    {
        var text = Text();
        foreach (var (name, value) in names)
        {
            if (name == text)
                return value;
        }

        throw Error(text, $"must be one of {string.Join(", ", names.Select(pair => pair.Name))}");
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
                all[ConfigBinder.Printable(name)] = read(value);
                return all;
            }));
        return Binder.Bind([], Key, Node, [.. keys]);
    }

    private InvalidInputException Error(string? value, string rule) => new(Key, value, rule);
}
