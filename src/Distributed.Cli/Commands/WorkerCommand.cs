using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Cluster;

namespace Distributed.Cli.Commands;

/// <summary><c>worker</c>: holds stages for a coordinator, until stopped.</summary>
internal sealed class WorkerCommand : Command
{
    private readonly Option<NodeAddress?> _listen = Flag.Create("--listen", "HOST:PORT", "Where to listen (default 127.0.0.1:7100)", (string text, out NodeAddress? address) =>
    {
        address = NodeAddress.TryParse(text);
        return address is null ? NodeAddress.Rule : null;
    });

    private readonly Option<string?> _name = Flag.Text("--name", "NAME", "The worker's name (default the machine's)");
    private readonly Option<string?> _devices = CommonOptions.Limited("--devices", "LIST", "The devices to offer: cpu", "cpu");
    private readonly Option<string?> _memory = Flag.Text("--memory", "LIST", "The most memory to use of each device, e.g. cpu=8GiB (default what is free)");
    private readonly Terminal _terminal;

    public WorkerCommand(Terminal terminal)
        : base("worker", "Hold layers for a coordinator, until stopped")
    {
        _terminal = terminal;
        Add(_listen);
        Add(_name);
        Add(_devices);
        Add(_memory);
        Add(CommonOptions.Threads);
        Add(CommonOptions.Absent("--data"));
        Add(CommonOptions.LogLevel);
        SetAction(RunAsync);
    }

    private Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        _terminal.Error.WriteLine($"error: {flags.CommandResult.Command.Name} is not connected yet");
        return Task.FromResult(ExitCode.Failed);
    }
}
