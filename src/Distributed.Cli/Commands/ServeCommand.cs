using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Coordinator;
using Distributed.Coordinator.Api;

namespace Distributed.Cli.Commands;

/// <summary><c>serve</c>: the coordinator with its HTTP API, until stopped.</summary>
internal sealed class ServeCommand : Command
{
    private readonly Terminal _terminal;

    public ServeCommand(Terminal terminal)
        : base("serve", "Serve the model over HTTP, until stopped")
    {
        _terminal = terminal;
        Add(CommonOptions.Http);
        Add(CommonOptions.ApiKeyFile);
        Add(CommonOptions.HttpCertificate);
        Add(CommonOptions.HttpKey);
        ClusterFlags.AddTo(this, CommonOptions.Workers);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var config = ClusterTarget.Configure(flags, flags.GetValue(CommonOptions.Workers) ?? CommonOptions.DefaultLocalWorkers);
        if (config.HttpCertificate is null && !config.Http.IsThisMachine)
            _terminal.Error.WriteLine("warning: keys and texts cross the network as plain text: give --http-certificate and --http-key");
        await using var target = await ClusterTarget.OpenAsync(flags, config, cancellation);
        var ready = new TaskCompletionSource<(string Url, CoordinatorHost Coordinator)>(TaskCreationOptions.RunContinuationsAsynchronously);
        // The bars end with loading, the server does not.
        var serving = await LoadingBars.ShowAsync(_terminal, async progress =>
        {
            var server = HttpServer.RunAsync(
                target.Config, CommonOptions.LogLevelOf(flags), progress, (url, coordinator) => ready.TrySetResult((url, coordinator)), cancellation);
            await Task.WhenAny(server, ready.Task);
            return server;
        });
        if (ready.Task.IsCompletedSuccessfully)
        {
            var (url, coordinator) = ready.Task.Result;
            PlacementTable.PrintRun(_terminal, coordinator.Placement, coordinator.Pipeline.Memory);
            RecoveryLines.Print(_terminal, coordinator);
            _terminal.Error.WriteLine($"{Printable.Line(coordinator.Model.Config.Name)} is served on {url}");
        }

        await serving;
        return _terminal.Interrupt.ExitCodeOfServer;
    }
}
