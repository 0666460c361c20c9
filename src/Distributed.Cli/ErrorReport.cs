using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Cluster;
using Distributed.Coordinator.Scheduling;
using Distributed.Core;

namespace Distributed.Cli;

/// <summary>Errors as a user sees them: one line each on stderr, and the exit code that goes with them.</summary>
internal static class ErrorReport
{
    /// <summary>Wrong usage.</summary>
    public static int Usage(Terminal terminal, IReadOnlyList<string> errors, Command verb)
    {
        foreach (var error in errors)
            Print(terminal, error);
        terminal.Error.WriteLine($"'{PathTo(verb)} --help' shows what there is.");
        return ExitCode.InvalidInput;
    }

    // The words that lead to a verb, which may be one of a group.
    private static string PathTo(Command verb) =>
        verb.Parents.OfType<Command>().FirstOrDefault() is { } group ? $"{PathTo(group)} {verb.Name}" : "distributed";

    /// <summary>A verb that ended with an exception.</summary>
    /// <param name="terminal">Where it is told.</param>
    /// <param name="error">What it ended with.</param>
    /// <param name="debug">Show where it came from.</param>
    public static int Failure(Terminal terminal, Exception error, bool debug)
    {
        if (terminal.Interrupt.Token.IsCancellationRequested)
            return ExitCode.Interrupted;

        var code = ExitCode.Failed;
        switch (error)
        {
            case InvalidInputException invalid:
                foreach (var one in invalid.Errors)
                    Print(terminal, one.ToString());
                code = ExitCode.InvalidInput;
                break;
            case DeviceFullException:
                Print(terminal, error.Message);
                code = ExitCode.InvalidInput;
                break;
            case StageFailureException or QueueFullException or IOException or UnauthorizedAccessException or TimeoutException or OperationCanceledException:
                Print(terminal, error.Message);
                break;
            default:
                Print(terminal, $"unexpected {error.GetType().Name}: {error.Message} (--log-level debug shows where)");
                break;
        }

        if (debug)
            terminal.Error.WriteLine(error);
        return code;
    }

    private static void Print(Terminal terminal, string message) => terminal.Error.WriteLine($"error: {message}");
}
