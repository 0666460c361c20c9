using System.CommandLine;
using System.Net.Http.Json;
using System.Text.Json.Serialization.Metadata;
using Distributed.Cluster;

namespace Distributed.Cli.Commands;

/// <summary>Asks a running coordinator.</summary>
internal static class CoordinatorCall
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Where it serves HTTP.</summary>
    public static Option<NodeAddress?> Flag { get; } =
        Commands.Flag.Address("--coordinator", $"Where the coordinator serves HTTP (default {CommonOptions.DefaultHttp})");

    /// <summary>Gets one JSON document.</summary>
    /// <param name="flags">With <see cref="Flag"/>.</param>
    /// <param name="path">The document's path, with its slash.</param>
    /// <param name="type">What it is.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="IOException">No coordinator answers there, or it is not ready.</exception>
    public static async Task<T> GetAsync<T>(ParseResult flags, string path, JsonTypeInfo<T> type, CancellationToken cancellation)
    {
        var address = flags.GetValue(Flag) ?? CommonOptions.DefaultHttp;
        if (address is not { SocketPath: null, Port: > 0 })
            throw new Core.InvalidInputException(Flag.Name, $"{address}", "must be HOST:PORT with a port from 1 to 65535");
        using var client = new HttpClient { Timeout = Patience };
        try
        {
            using var answer = await client.GetAsync($"http://{address}{path}", cancellation);
            if (!answer.IsSuccessStatusCode)
                throw new IOException($"the coordinator on {address} is not ready: it answers {(int)answer.StatusCode} {answer.ReasonPhrase}");
            return await answer.Content.ReadFromJsonAsync(type, cancellation)
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
