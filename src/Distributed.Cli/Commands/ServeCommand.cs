using System.CommandLine;
using System.Security.Cryptography;
using System.Text;
using Distributed.Cli.Output;
using Distributed.Cluster.Config;
using Distributed.Coordinator;
using Distributed.Coordinator.Api;
using Distributed.Worker;

namespace Distributed.Cli.Commands;

/// <summary><c>serve</c>: the coordinator with its HTTP API, until stopped.</summary>
internal sealed class ServeCommand : Command
{
    private readonly Option<string?> _data = Flag.Text(
        "--data", "DIR", "Where its sessions are kept for the next start (default a folder of the cluster's own in the user's folder for caches)");

    // How a coordinator that a command has started knows when that is gone.
    private readonly Option<bool> _exitWithInput = Flag.Switch("--exit-with-input", "End when stdin ends");
    private readonly Terminal _terminal;

    public ServeCommand(Terminal terminal)
        : base("serve", "Serve the model over HTTP, until stopped")
    {
        _terminal = terminal;
        Add(CommonOptions.Http);
        Add(_data);
        _exitWithInput.Hidden = true;
        Add(_exitWithInput);
        Add(CommonOptions.ApiKeyFile);
        Add(CommonOptions.HttpCertificate);
        Add(CommonOptions.HttpKey);
        ClusterFlags.AddTo(this, CommonOptions.Workers);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        if (!flags.GetValue(_exitWithInput))
            return await ServeAsync(flags, cancellation);
        _terminal.Interrupt.IgnoresCtrlC = true;
        using var input = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var serving = ServeAsync(flags, input.Token);
        var read = Console.OpenStandardInput().CopyToAsync(Stream.Null, cancellation);
        await Task.WhenAny(serving, read);
        await input.CancelAsync();
        return await serving;
    }

    private async Task<int> ServeAsync(ParseResult flags, CancellationToken cancellation)
    {
        var config = ClusterTarget.Configure(flags, flags.GetValue(CommonOptions.Workers) ?? CommonOptions.DefaultLocalWorkers);
        config = config with { Data = flags.GetValue(_data) is { } data ? Path.GetFullPath(data) : config.Data ?? DataOf(flags, config) };
        if (config.HttpCertificate is null && !config.Http.IsThisMachine)
            _terminal.Error.WriteLine("warning: keys and texts cross the network as plain text: give --http-certificate and --http-key");
        await using var target = await ClusterTarget.OpenAsync(flags, config, cancellation);
        var ready = new TaskCompletionSource<(string Url, CoordinatorHost Coordinator)>(TaskCreationOptions.RunContinuationsAsynchronously);
        // The bars end with loading, the server does not.
        var serving = await LoadingBars.ShowAsync(_terminal, async progress =>
        {
            var server = HttpServer.RunAsync(
                target.Config, CommonOptions.LogLevelOf(flags), progress, (url, coordinator) => ready.TrySetResult((url, coordinator)),
                (url, leader) => _terminal.Error.WriteLine($"stands by on {url} while the coordinator on {leader} leads"), cancellation);
            await Task.WhenAny(server, ready.Task);
            return server;
        });
        if (ready.Task.IsCompletedSuccessfully)
        {
            var (url, coordinator) = ready.Task.Result;
            PlacementTable.PrintRun(_terminal, coordinator.Placement, coordinator.Pipeline.Memory);
            RecoveryLines.Print(_terminal, coordinator);
            if (coordinator.Restart is { } restart)
                _terminal.Error.WriteLine($"started again: {Printable.Line($"{restart}")}");
            _terminal.Error.WriteLine($"{Printable.Line(coordinator.Model.Config.Name)} is served on {url}");
        }

        await serving;
        return _terminal.Interrupt.ExitCodeOfServer;
    }

    // The same for the next start of the same cluster. A server of workers of its own on any free port is not to be found again.
    private static string? DataOf(ParseResult flags, ClusterConfig config)
    {
        var file = flags.GetValue(CommonOptions.Cluster);
        if (file is null && config.Http.Port == 0)
            return null;
        var name = file is null ? "local" : Path.GetFileNameWithoutExtension(file);
        var key = $"{(file is null ? config.Model : Path.GetFullPath(file))}|{config.Http}";
        return Path.Combine(DataFolder.Default, "coordinators", $"{name}-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)))[..12]}");
    }
}
