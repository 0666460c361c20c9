using System.CommandLine;
using System.Net.Http.Json;
using Distributed.Cli.Output;
using Distributed.Cluster;
using Distributed.Coordinator.Api;

namespace Distributed.Cli.Commands;

/// <summary><c>status</c>: the workers of a running coordinator, what they can do, and what they hold.</summary>
internal sealed class StatusCommand : Command
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Option<NodeAddress?> _coordinator =
        Flag.Address("--coordinator", $"Where the coordinator serves HTTP (default {CommonOptions.DefaultHttp})");

    private readonly Terminal _terminal;

    public StatusCommand(Terminal terminal)
        : base("status", "Show a running coordinator's workers, links, placement and load")
    {
        _terminal = terminal;
        Add(_coordinator);
        Add(CommonOptions.Json);
        Add(CommonOptions.LogLevel);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var address = flags.GetValue(_coordinator) ?? CommonOptions.DefaultHttp;
        if (address is not { SocketPath: null, Port: > 0 })
            throw new Core.InvalidInputException(_coordinator.Name, $"{address}", "must be HOST:PORT with a port from 1 to 65535");
        var status = await AskAsync(address, cancellation);
        if (flags.GetValue(CommonOptions.Json))
            Json.Write(_terminal.Out, status);
        else
            StatusTables.Print(_terminal, status);
        return ExitCode.Done;
    }

    private static async Task<ClusterStatus> AskAsync(NodeAddress address, CancellationToken cancellation)
    {
        using var client = new HttpClient { Timeout = Patience };
        try
        {
            using var answer = await client.GetAsync($"http://{address}/status", cancellation);
            if (!answer.IsSuccessStatusCode)
                throw new IOException($"the coordinator on {address} is not ready: it answers {(int)answer.StatusCode} {answer.ReasonPhrase}");
            return await answer.Content.ReadFromJsonAsync(StatusJson.Default.ClusterStatus, cancellation)
                ?? throw new IOException($"what listens on {address} is no coordinator");
        }
        catch (HttpRequestException error)
        {
            throw new IOException($"no coordinator answers on {address}: {error.Message}", error);
        }
        catch (System.Text.Json.JsonException error)
        {
            throw new IOException($"what listens on {address} is no coordinator", error);
        }
        catch (TaskCanceledException error) when (!cancellation.IsCancellationRequested)
        {
            throw new IOException($"no coordinator answers on {address} within {Patience.TotalSeconds} s", error);
        }
    }
}
