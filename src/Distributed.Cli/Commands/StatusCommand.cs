using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Coordinator.Api;

namespace Distributed.Cli.Commands;

/// <summary><c>status</c>: the workers of a running coordinator, what they can do, and what they hold.</summary>
internal sealed class StatusCommand : Command
{
    private readonly Terminal _terminal;

    public StatusCommand(Terminal terminal)
        : base("status", "Show a running coordinator's workers, links, placement and load")
    {
        _terminal = terminal;
        CoordinatorCall.AddTo(this);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var status = await CoordinatorCall.GetAsync(flags, "/status", StatusJson.Default.ClusterStatus, cancellation);
        if (flags.GetValue(CommonOptions.Json))
            Json.Write(_terminal.Out, status);
        else
            StatusTables.Print(_terminal, status);
        return ExitCode.Done;
    }
}
