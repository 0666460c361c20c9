using System.Text.RegularExpressions;

namespace Distributed.Cli.Tests;

/// <summary>A worker that a test starts as a user would, with one thread, on a port of its own choice.</summary>
internal sealed partial record RunningWorker(Cli Cli, string Address) : IAsyncDisposable
{
    /// <summary>Starts it and waits until it listens on loopback.</summary>
    public static Task<RunningWorker> StartAsync(string name, params string[] args) => StartOnAsync("127.0.0.1", name, args);

    /// <summary>Starts it and waits until it listens on an address of this machine.</summary>
    public static Task<RunningWorker> StartOnAsync(string host, string name, params string[] args) => StartAtAsync($"{host}:0", name, args);

    /// <summary>Starts it and waits until it listens on an address and port.</summary>
    public static Task<RunningWorker> StartAtAsync(string address, string name, params string[] args) =>
        StartAsUserAsync(address, name, ["--exit-with-input", .. args]);

    /// <summary>The same, with nothing that makes it end with the tests: Ctrl-C is its own business then.</summary>
    public static async Task<RunningWorker> StartAsUserAsync(string address, string name, params string[] args)
    {
        var cli = Cli.Start(["worker", "--name", name, "--listen", address, "--threads", "1", .. args]);
        return new RunningWorker(cli, (await cli.SeeAsync(Listening())).Groups[1].Value);
    }

    public ValueTask DisposeAsync() => Cli.DisposeAsync();

    [GeneratedRegex(@" listens on ([\d.]+:\d+)\n")]
    private static partial Regex Listening();
}
