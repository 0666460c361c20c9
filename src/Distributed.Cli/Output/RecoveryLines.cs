using Distributed.Coordinator;

namespace Distributed.Cli.Output;

/// <summary>Says on stderr when a worker is lost, and how the pipeline went on; and when sessions cannot be kept.</summary>
internal static class RecoveryLines
{
    /// <summary>From now on.</summary>
    public static void Print(Terminal terminal, CoordinatorHost coordinator)
    {
        coordinator.Recovery.Interrupted += line => terminal.Error.WriteLine($"warning: {line}");
        coordinator.Recovery.Moved += report => terminal.Error.WriteLine($"moved: {report}");
        coordinator.Recovery.Recovered += report => terminal.Error.WriteLine($"recovered: {report}");
        coordinator.UnwrittenChanged += reason => terminal.Error.WriteLine(
            reason is null ? $"sessions are written to {coordinator.State} again"
            : $"warning: sessions are not being written to {coordinator.State}, and would be lost with this coordinator: {Printable.Line(reason)}");
    }
}
