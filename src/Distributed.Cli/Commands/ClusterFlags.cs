using System.CommandLine;
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
        ];
        foreach (var option in options)
            verb.Options.Add(option);
    }

    /// <summary>Refuses a limit of memory where no worker is started that could keep it.</summary>
    /// <param name="flags">The flags.</param>
    /// <param name="workers">Worker processes to start.</param>
    /// <exception cref="InvalidInputException">There is one, and no worker.</exception>
    public static void CheckMemory(ParseResult flags, int workers)
    {
        if (workers == 0 && flags.GetResult(CommonOptions.Memory) is { } limit)
            throw new InvalidInputException(CommonOptions.Memory.Name, limit.Tokens[0].Value, "needs --workers: it is what stages may take in each");
    }
}
