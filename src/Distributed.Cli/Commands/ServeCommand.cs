using System.CommandLine;
using Distributed.Cli.Output;

namespace Distributed.Cli.Commands;

/// <summary><c>serve</c>: the coordinator with its HTTP API, until stopped.</summary>
internal sealed class ServeCommand : Command
{
    private readonly Option<string?> _http = Flag.Text("--http", "HOST:PORT", "Where to serve HTTP (default 127.0.0.1:8080)");
    private readonly Terminal _terminal;

    public ServeCommand(Terminal terminal)
        : base("serve", "Serve the model over HTTP, until stopped")
    {
        _terminal = terminal;
        Add(_http);
        ClusterFlags.AddTo(this, CommonOptions.Workers);
        SetAction(RunAsync);
    }

    private Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        _terminal.Error.WriteLine($"error: {flags.CommandResult.Command.Name} is not connected yet");
        return Task.FromResult(ExitCode.Failed);
    }
}
