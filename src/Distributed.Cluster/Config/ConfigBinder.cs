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
            Add(path.Length > 0 ? path : "yaml", node.Kind, $"must have keys with values: {names}", node.Line);
            return record;
        }

        HashSet<string> seen = [];
        foreach (var entry in map.Entries)
        {
            var name = Printable(entry.Key);
            var full = path.Length > 0 ? $"{path}.{name}" : name;
            if (!seen.Add(entry.Key))
            {
                Add(full, null, $"is given twice, first in line {Lines.GetValueOrDefault(full, node.Line)}", entry.Line);
                continue;
            }

            Lines[full] = entry.Line;
            if (keys.FirstOrDefault(key => key.Name == entry.Key) is { } known)
                Try(entry.Line, () => record = known.Set(record, new ConfigValue(this, full, entry.Value)));
            else
                Add(full, null, $"is not a known key{NearestName.Suggest(entry.Key, keys.Select(key => key.Name))}", entry.Line);
        }

        foreach (var key in keys.Where(key => key.IsRequired && !seen.Contains(key.Name)))
        {
            var full = path.Length > 0 ? $"{path}.{key.Name}" : key.Name;
            Unread.Add(full);
            Add(full, null, "is missing", node.Line);
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

    /// <summary>A key that may be anything, as errors can show it.</summary>
    public static string Printable(string key)
    {
        var text = key.Length > MaxKeyLength ? key[..MaxKeyLength] + "…" : key;
        return string.Concat(text.Select(c => char.IsControl(c) ? '\uFFFD' : c));
    }

    private void Add(string key, string? value, string rule, int line) => Errors.Add(new InputError(key, value, rule, _source, line));
}
