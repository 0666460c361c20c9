using System.CommandLine;

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
            CommonOptions.Model, CommonOptions.Cluster, workers, CommonOptions.Threads, CommonOptions.Context,
            CommonOptions.KvType, CommonOptions.Wire, CommonOptions.Device, CommonOptions.Link, CommonOptions.LogLevel,
        ];
        foreach (var option in options)
            verb.Options.Add(option);
    }
}
