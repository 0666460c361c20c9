using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Cluster;
using Distributed.Coordinator.Api;

namespace Distributed.Cli.Commands;

/// <summary><c>serve</c>: the coordinator with its HTTP API, until stopped.</summary>
internal sealed class ServeCommand : Command
{
    private readonly Option<NodeAddress?> _http = Flag.Address("--http", "Where to serve HTTP (default 127.0.0.1:8080)");
    private readonly Terminal _terminal;

    public ServeCommand(Terminal terminal)
        : base("serve", "Serve the model over HTTP, until stopped")
    {
        _terminal = terminal;
        Add(_http);
        ClusterFlags.AddTo(this, CommonOptions.Workers);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var config = ClusterTarget.Configure(flags, flags.GetValue(CommonOptions.Workers) ?? CommonOptions.DefaultLocalWorkers);
        config = config with { Http = flags.GetValue(_http) ?? config.Http };
        await using var target = await ClusterTarget.OpenAsync(flags, config, cancellation);
        await HttpServer.RunAsync(
            target.Config,
            progress: null,
            (url, coordinator) =>
            {
                PlacementTable.PrintRun(_terminal, coordinator.Placement, coordinator.Pipeline.Memory);
                RecoveryLines.Print(_terminal, coordinator);
                _terminal.Error.WriteLine($"{coordinator.Model.Config.Name} is served on {url}");
            },
            cancellation);
        return _terminal.Interrupt.ExitCodeOfServer;
    }
}
