using System.CommandLine;
using Distributed.Cli.Output;

namespace Distributed.Cli.Commands;

/// <summary><c>plan</c>: which layers would go where, and the memory they would take. Loads nothing.</summary>
internal sealed class PlanCommand : Command
{
    private readonly Terminal _terminal;

    public PlanCommand(Terminal terminal)
        : base("plan", "Show which layers would go where, and the memory they would take")
    {
        _terminal = terminal;
        ClusterFlags.AddTo(this, CommonOptions.Workers);
        Add(CommonOptions.Json);
        SetAction(RunAsync);
    }

    private Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        _terminal.Error.WriteLine($"error: {flags.CommandResult.Command.Name} is not connected yet");
        return Task.FromResult(ExitCode.Failed);
    }
}
