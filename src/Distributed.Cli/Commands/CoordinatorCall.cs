using System.CommandLine;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json.Serialization.Metadata;
using Distributed.Cluster;
using Distributed.Cluster.Certificates;
using Distributed.Coordinator.Api;

namespace Distributed.Cli.Commands;

/// <summary>Asks a running coordinator.</summary>
internal static class CoordinatorCall
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    // Layers that have to be sent over a slow line take their time.
    private static readonly TimeSpan PatienceToMove = TimeSpan.FromHours(1);

    /// <summary>Where it serves HTTP.</summary>
    public static Option<NodeAddress?> Flag { get; } =
        Commands.Flag.Address("--coordinator", $"Where the coordinator serves HTTP (default {CommonOptions.DefaultHttp})");

    /// <summary>Where the CA is that has signed the coordinator's HTTPS certificate; null for plain HTTP.</summary>
    private static readonly Option<string?> Trusted = Commands.Flag.Text(
        "--tls-dir", "DIR", "Ask over HTTPS; the coordinator's certificate must be signed by the CA whose ca.crt is there");

    private static readonly Option<string?> KeyFile = Commands.Flag.Text("--api-key-file", "FILE", "The API key to show: the first one in it");

    /// <summary>Adds the flags that all verbs have which ask.</summary>
    public static void AddTo(Command verb)
    {
        foreach (var option in (Option[])[Flag, Trusted, KeyFile, CommonOptions.Json, CommonOptions.LogLevel])
            verb.Options.Add(option);
    }

    /// <summary>Gets one JSON document.</summary>
    /// <param name="flags">With <see cref="Flag"/>.</param>
    /// <param name="path">The document's path, with its slash.</param>
    /// <param name="type">What it is.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="IOException">No coordinator answers there, or it is not ready.</exception>
    public static Task<T> GetAsync<T>(ParseResult flags, string path, JsonTypeInfo<T> type, CancellationToken cancellation) =>
        CallAsync(flags, HttpMethod.Get, path, type, Patience, cancellation);

    /// <summary>Has the coordinator do something that takes time, and gets what came of it.</summary>
    /// <param name="flags">With <see cref="Flag"/>.</param>
    /// <param name="path">What to do, with its slash.</param>
    /// <param name="type">What comes of it.</param>
    /// <param name="cancellation">Stops waiting.</param>
    /// <exception cref="Core.InvalidInputException">What was asked for is wrong.</exception>
    /// <exception cref="IOException">No coordinator answers there, it is not ready, or it refuses: with its reason.</exception>
    public static Task<T> PostAsync<T>(ParseResult flags, string path, JsonTypeInfo<T> type, CancellationToken cancellation) =>
        CallAsync(flags, HttpMethod.Post, path, type, PatienceToMove, cancellation);

    private static async Task<T> CallAsync<T>(
        ParseResult flags, HttpMethod method, string path, JsonTypeInfo<T> type, TimeSpan patience, CancellationToken cancellation)
    {
        var address = flags.GetValue(Flag) ?? CommonOptions.DefaultHttp;
        if (address is not { SocketPath: null, Port: > 0 })
            throw new Core.InvalidInputException(Flag.Name, $"{address}", "must be HOST:PORT with a port from 1 to 65535");
        using var handler = new SocketsHttpHandler();
        var folder = flags.GetValue(Trusted);
        if (folder is not null)
            handler.SslOptions.CertificateChainPolicy = CertificateFiles.Trusting("--tls-dir", folder);
        using var client = new HttpClient(handler) { Timeout = patience };
        if (flags.GetValue(KeyFile) is { } file)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", ApiKeys.Read(file)[0]);
        try
        {
            using var request = new HttpRequestMessage(method, $"{(folder is null ? "http" : "https")}://{address}{path}");
            using var answer = await client.SendAsync(request, cancellation);
            if (answer.StatusCode == HttpStatusCode.Unauthorized)
                throw new IOException($"the coordinator on {address} wants an API key, or another one: give --api-key-file FILE");
            if (answer.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.Conflict)
            {
                var error = (await answer.Content.ReadFromJsonAsync(MoveJson.Default.ErrorBody, cancellation))?.Error;
                throw error?.Param is { } param ? new Core.InvalidInputException(param.ToUpperInvariant(), null, error.Message)
                    : new IOException(error?.Message ?? $"the coordinator on {address} refuses");
            }

            if (!answer.IsSuccessStatusCode)
                throw new IOException($"the coordinator on {address} is not ready: it answers {(int)answer.StatusCode} {answer.ReasonPhrase}");
            return await answer.Content.ReadFromJsonAsync(type, cancellation)
                ?? throw new IOException($"what listens on {address} is no coordinator");
        }
        catch (HttpRequestException error)
        {
            throw new IOException($"no coordinator answers on {address}: {error.InnerException?.Message ?? error.Message}", error);
        }
        catch (System.Text.Json.JsonException error)
        {
            throw new IOException($"what listens on {address} is no coordinator", error);
        }
        catch (TaskCanceledException error) when (!cancellation.IsCancellationRequested)
        {
            throw new IOException($"no coordinator answers on {address} within {patience.TotalSeconds} s", error);
        }
    }
}
