using Distributed.Coordinator;

namespace Distributed.Cli.Output;

/// <summary>Says on stderr when a worker is lost, and how the pipeline went on.</summary>
internal static class RecoveryLines
{
    /// <summary>From now on.</summary>
    public static void Print(Terminal terminal, CoordinatorHost coordinator)
    {
        coordinator.Recovery.Interrupted += line => terminal.Error.WriteLine($"warning: {line}");
        coordinator.Recovery.Moved += report => terminal.Error.WriteLine($"moved: {report}");
        coordinator.Recovery.Recovered += report => terminal.Error.WriteLine($"recovered: {report}");
    }
}
