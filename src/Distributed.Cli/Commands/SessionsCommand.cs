using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Coordinator.Api;

namespace Distributed.Cli.Commands;

/// <summary><c>sessions</c>: which sequences a running coordinator has, and where the KV cache of each lies.</summary>
internal sealed class SessionsCommand : Command
{
    private readonly Terminal _terminal;

    public SessionsCommand(Terminal terminal)
        : base("sessions", "Show the sequences of a running coordinator, and where the KV cache of each lies")
    {
        _terminal = terminal;
        CoordinatorCall.AddTo(this);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var sessions = await CoordinatorCall.GetAsync(flags, "/sessions", SessionsJson.Default.ClusterSessions, cancellation);
        if (flags.GetValue(CommonOptions.Json))
            Json.Write(_terminal.Out, sessions);
        else
            SessionTables.Print(_terminal, sessions);
        return ExitCode.Done;
    }
}
