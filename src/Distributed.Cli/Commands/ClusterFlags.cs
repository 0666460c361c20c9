using System.CommandLine;
using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary>Which model runs where: a cluster file, or worker processes of the command's own.</summary>
internal static class ClusterFlags
{
    /// <summary>Adds the flags to a verb.</summary>
    /// <param name="verb">The verb.</param>
    /// <param name="workers">How many worker processes to start.</param>
    public static void AddTo(Command verb, Option<int?> workers)
    {
        var options = (Option[])
        [
            CommonOptions.Model, CommonOptions.Cluster, workers, CommonOptions.Threads, CommonOptions.Memory, CommonOptions.Context,
            CommonOptions.KvType, CommonOptions.Wire, CommonOptions.Device, CommonOptions.Link, CommonOptions.LogLevel,
            CommonOptions.TlsFolder, CommonOptions.Insecure,
        ];
        foreach (var option in options)
            verb.Options.Add(option);
    }

    /// <summary>What the flags say of the door between nodes, and before HTTP, over what the cluster file says.</summary>
    public static ClusterConfig Door(ParseResult flags, ClusterConfig config) => config with
    {
        Tls = flags.GetValue(CommonOptions.TlsFolder) is { } folder ? TlsConfig.InFolder(folder, TlsConfig.Coordinator) : config.Tls,
        Insecure = config.Insecure || flags.GetValue(CommonOptions.Insecure),
        ApiKeyFile = PathOf(flags.GetValue(CommonOptions.ApiKeyFile)) ?? config.ApiKeyFile,
        HttpCertificate = PathOf(flags.GetValue(CommonOptions.HttpCertificate)) ?? config.HttpCertificate,
        HttpKey = PathOf(flags.GetValue(CommonOptions.HttpKey)) ?? config.HttpKey,
    };

    private static string? PathOf(string? file) => file is null ? null : Path.GetFullPath(file);

    /// <summary>Refuses flags that mean something only where workers compute, beside none.</summary>
    /// <param name="flags">The flags.</param>
    /// <param name="workers">Worker processes to start.</param>
    /// <exception cref="InvalidInputException">There are such flags, and neither workers nor a cluster.</exception>
    public static void CheckWorkers(ParseResult flags, int workers)
    {
        if (workers > 0 || flags.GetValue(CommonOptions.Cluster) is not null)
            return;
        var errors = new List<InputError>();
        Refuse(CommonOptions.Memory, "it is what stages may take in each");
        Refuse(CommonOptions.Wire, "without them nothing is sent");
        Refuse(CommonOptions.Link, "without them nothing is sent");
        if (errors.Count > 0)
            throw new InvalidInputException(errors);

        void Refuse(Option option, string reason)
        {
            if (flags.GetResult(option) is { Implicit: false } given)
                errors.Add(new InputError(option.Name, given.Tokens[0].Value, $"needs --workers: {reason}"));
        }
    }
}
