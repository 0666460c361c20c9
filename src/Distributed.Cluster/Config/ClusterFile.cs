using Distributed.Core;

namespace Distributed.Cluster.Config;

/// <summary>Reads cluster files (<c>cluster/*.yaml</c>) and lets flags override them.</summary>
public static class ClusterFile
{
    /// <summary>The largest file, in bytes.</summary>
    public const int MaxBytes = 1 << 20;

    /// <summary>Reads and validates a file, as far as that goes without the model.</summary>
    /// <param name="path">The file, at most <see cref="MaxBytes"/>; errors name it as it is given here.</param>
    /// <param name="change">What flags say of it, before it is validated; null for nothing.</param>
    /// <exception cref="InvalidInputException">Everything that is wrong with it, each error with its line.</exception>
    public static ClusterConfig Load(string path, Func<ClusterConfig, ClusterConfig>? change = null) =>
        Bind(YamlReader.ReadFile(path), path, Path.GetDirectoryName(Path.GetFullPath(path))!, change);

    /// <summary>Reads and validates the text of a file, as <see cref="Load"/> does.</summary>
    /// <param name="yaml">The text.</param>
    /// <param name="source">What errors call it.</param>
    /// <param name="folder">The absolute path that relative paths count from.</param>
    /// <exception cref="InvalidInputException">Everything that is wrong with it, each error with its line.</exception>
    public static ClusterConfig Parse(string yaml, string source, string folder) => Bind(YamlReader.Read(yaml, source), source, folder, null);

    /// <summary>
    /// Applies flags over a config, by the same rules that read a file. A relative path counts from the current folder, and
    /// errors name the flag.
    /// </summary>
    /// <param name="config">The config.</param>
    /// <param name="flags">Values by the names of keys, without dashes: <c>context</c>, <c>kv-type</c>.</param>
    /// <exception cref="InvalidInputException">Everything that is wrong with the flags, or with the config under them.</exception>
    /// <exception cref="ArgumentException">No key has such a name, or its value is a list.</exception>
    public static ClusterConfig Override(ClusterConfig config, IEnumerable<KeyValuePair<string, string>> flags)
    {
        var binder = new ConfigBinder(null, Environment.CurrentDirectory);
        foreach (var (flag, text) in flags)
        {
            var key = ClusterKeys.Cluster.FirstOrDefault(key => key.Name == flag && flag is not ("workers" or "split" or "pin" or "exclude" or "tls"))
                ?? throw new ArgumentException($"No key '{flag}' takes its value from a flag.", nameof(flags));
            binder.Try(null, () => config = key.Set(config, new ConfigValue(binder, flag, new YamlScalar(0, text, text.Length == 0))));
            config = config with { Origins = config.Origins.WithFlag(flag) };
        }

        var flagErrors = binder.Errors.Select(error => error with { Key = $"--{error.Key}" }).ToList();
        ThrowIfAny([.. flagErrors, .. ClusterValidator.Check(config)]);
        return config;
    }

    private static ClusterConfig Bind(YamlNode root, string source, string folder, Func<ClusterConfig, ClusterConfig>? change)
    {
        var binder = new ConfigBinder(source, folder);
        var config = binder.Bind(new ClusterConfig { Model = "" }, "", root, ClusterKeys.Cluster);
        config = config with { Origins = ConfigOrigins.Of(source, binder.Lines) };
        config = change?.Invoke(config) ?? config;

        // What could not be read needs no second error for what stands in its place.
        var broken = ClusterValidator.Check(config).Where(error => !ConfigOrigins.WithParents(error.Key).Any(binder.Unread.Contains));
        ThrowIfAny([.. binder.Errors.Concat(broken).OrderBy(error => error.Line)]);
        return config;
    }

    private static void ThrowIfAny(List<InputError> errors)
    {
        if (errors.Count > 0)
            throw new InvalidInputException(errors);
    }
}
