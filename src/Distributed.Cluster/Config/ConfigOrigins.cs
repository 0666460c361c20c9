using System.Collections.Immutable;
using Distributed.Core;

namespace Distributed.Cluster.Config;

/// <summary>Where the values of a <see cref="ClusterConfig"/> were written: a line of a cluster file, or a flag.</summary>
public sealed class ConfigOrigins
{
    /// <summary>Nothing was written anywhere.</summary>
    public static readonly ConfigOrigins None = new(null, ImmutableDictionary<string, Origin>.Empty);

    private readonly string? _file;
    private readonly ImmutableDictionary<string, Origin> _origins;

    private ConfigOrigins(string? file, ImmutableDictionary<string, Origin> origins) => (_file, _origins) = (file, origins);

    /// <summary>The origins of what a file says.</summary>
    /// <param name="file">The file, as its reader named it.</param>
    /// <param name="lines">The line of each key, from 1.</param>
    internal static ConfigOrigins Of(string file, IReadOnlyDictionary<string, int> lines) =>
        new(file, lines.ToImmutableDictionary(line => line.Key, line => new Origin(null, line.Value)));

    /// <summary>The same, with one value now coming from a flag.</summary>
    internal ConfigOrigins WithFlag(string key) => new(_file, _origins.SetItem(key, new Origin($"--{key}", null)));

    /// <summary>An error about the value of <paramref name="key"/>; where it is absent, at the line of what should hold it.</summary>
    internal InputError Error(string key, string? value, string rule)
    {
        foreach (var written in WithParents(key))
        {
            if (_origins.TryGetValue(written, out var origin))
                return origin.Flag is null
                    ? new InputError(key, value, rule, _file, origin.Line)
                    : new InputError(origin.Flag, value, rule);
        }

        return new InputError(key, value, rule, _file);
    }

    /// <summary>A key and what it lies in: <c>workers[1].name</c>, <c>workers[1]</c>, <c>workers</c>, and empty for the whole.</summary>
    internal static IEnumerable<string> WithParents(string key)
    {
        while (key.Length > 0)
        {
            yield return key;
            key = key[..Math.Max(0, key.LastIndexOfAny(['.', '[']))];
        }

        yield return "";
    }

    private readonly record struct Origin(string? Flag, int? Line);
}
