using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Distributed.Cluster.Certificates;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

/// <summary>
/// Worker processes on ports of their own and a coordinator that serves them, each of which can be killed and started again where it was.
/// </summary>
internal sealed partial class ServedCluster : IAsyncDisposable
{
    private readonly TempFolder _folder = new();
    private readonly Dictionary<string, (RunningWorker Process, string Address)> _workers = [];
    private readonly string _keys;
    private string? _model;
    private Cli? _serve;
    private HttpClient _http = new();

    private ServedCluster(string keys) => _keys = keys;

    /// <summary>The coordinator.</summary>
    public Cli Serve => _serve!;

    /// <summary>Where it serves HTTP.</summary>
    public string Address { get; private set; } = "";

    /// <summary>Starts all of it.</summary>
    /// <param name="keys">More keys of the cluster file.</param>
    /// <param name="workers">The workers' names.</param>
    public static Task<ServedCluster> StartAsync(string keys, params string[] workers) =>
        StartAsync(keys, [.. workers.Select(name => (name, "cpu=64MiB"))]);

    /// <summary>The same, with certificates for all of them.</summary>
    public static Task<ServedCluster> StartLockedAsync(string keys, params string[] workers) => StartAsync(
        $"tls: {{ ca: certs/ca.crt, certificate: certs/coordinator.crt, key: certs/coordinator.key }}\n{keys}", true,
        [.. workers.Select(name => (name, "cpu=64MiB"))]);

    /// <summary>The same, with what stages may take on each worker.</summary>
    public static Task<ServedCluster> StartAsync(string keys, params (string Name, string Memory)[] workers) => StartAsync(keys, false, workers);

    /// <summary>Starts workers that have not got the model, nor anything in their stores, and no coordinator.</summary>
    public static async Task<ServedCluster> StartWorkersAsync(string keys, params string[] workers)
    {
        var cluster = new ServedCluster(keys) { _model = "/nowhere/model" };
        foreach (var name in workers)
        {
            var worker = await RunningWorker.StartAsync(name, "--memory", "cpu=64MiB", "--data", cluster.DataOf(name));
            cluster._workers[name] = (worker, worker.Address);
        }

        return cluster;
    }

    private static async Task<ServedCluster> StartAsync(string keys, bool isLocked, (string Name, string Memory)[] workers)
    {
        var cluster = new ServedCluster(keys);
        var certs = Path.Combine(cluster._folder.Root, "certs");
        if (isLocked)
        {
            CertificateAuthority.Init(certs);
            foreach (var name in workers.Select(worker => worker.Name).Prepend("coordinator"))
                CertificateAuthority.Issue(certs, name, days: 1, []);
        }

        foreach (var (name, memory) in workers)
        {
            var worker = await RunningWorker.StartAsync(name, ["--memory", memory, .. isLocked ? ["--tls-dir", certs] : Array.Empty<string>()]);
            cluster._workers[name] = (worker, worker.Address);
        }

        await cluster.ServeAsync();
        return cluster;
    }

    /// <summary>Starts the coordinator, once more where it was killed.</summary>
    public async Task ServeAsync()
    {
        await BeginServingAsync();
        string address;
        try
        {
            address = (await Serve.SeeErrorAsync(Served())).Groups[1].Value;
        }
        catch
        {
            await Serve.DisposeAsync();
            throw;
        }

        Turn(Serve, address);
    }

    /// <summary>Starts the coordinator and does not wait until it serves.</summary>
    public async Task BeginServingAsync()
    {
        var model = _model is null ? "" : $", model: {_model}";
        await File.WriteAllTextAsync(Path.Combine(_folder.Root, "cluster.yaml"), $"""
            model: {Repository.SampleModel}
            http: 127.0.0.1:0
            data: state
            failure-timeout: 10s
            {_keys}
            workers:
            {string.Join('\n', _workers.Select(worker => $"  - {{ name: {worker.Key}, address: \"{worker.Value.Address}\"{model} }}"))}
            """);
        _serve = Cli.Start("serve", "--exit-with-input", "-c", Path.Combine(_folder.Root, "cluster.yaml"));
    }

    /// <summary>Where a worker of <see cref="StartWorkersAsync"/> keeps its weights.</summary>
    public string DataOf(string worker) => Path.Combine(_folder.Root, worker);

    /// <summary>Starts another coordinator of the same cluster file, which stands by.</summary>
    public async Task<Standby> StandByAsync()
    {
        var serve = Cli.Start("serve", "--exit-with-input", "-c", Path.Combine(_folder.Root, "cluster.yaml"));
        try
        {
            var seen = (await serve.SeeErrorAsync(StandsBy())).Groups;
            return new Standby(serve, seen[1].Value, seen[2].Value);
        }
        catch
        {
            await serve.DisposeAsync();
            throw;
        }
    }

    /// <summary>From now on that one is meant.</summary>
    public void TurnTo(Standby standby) => Turn(standby.Serve, standby.Address);

    /// <summary>Ends the coordinator as SIGKILL does.</summary>
    public ValueTask KillCoordinatorAsync() => Serve.DisposeAsync();

    /// <summary>Ends a worker as SIGKILL does.</summary>
    public ValueTask KillAsync(string worker) => _workers[worker].Process.DisposeAsync();

    /// <summary>Starts a worker again, on the port that it had.</summary>
    public async Task StartAgainAsync(string worker)
    {
        var address = _workers[worker].Address;
        _workers[worker] = (await RunningWorker.StartAtAsync(address, worker), address);
    }

    /// <summary>Asks for an answer, and takes it piece by piece.</summary>
    /// <param name="fields">Fields of the request besides the messages, as JSON without braces.</param>
    /// <param name="question">The one message.</param>
    /// <param name="pieces">How many pieces of text to take; null for all. The rest is left unread.</param>
    /// <param name="at">Which coordinator to ask, by its address; null for the one that is meant.</param>
    /// <returns>The text, and the last event that has more than text.</returns>
    public async Task<Answer> AskAsync(string fields, string question, int? pieces = null, string? at = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, $"http://{at ?? Address}/v1/chat/completions")
        {
            Content = new StringContent(
                $$"""{{{fields}},"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"{{question}}"}]}""",
                Encoding.UTF8, "application/json"),
        };
        var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.True(response.IsSuccessStatusCode, await (response.IsSuccessStatusCode ? Task.FromResult("") : response.Content.ReadAsStringAsync()));
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
        var text = new StringBuilder();
        JsonElement? usage = null;
        while (pieces is null or > 0 && await reader.ReadLineAsync() is { } line)
        {
            if (!line.StartsWith("data: {", StringComparison.Ordinal))
                continue;
            var message = JsonDocument.Parse(line[6..]).RootElement;
            Assert.False(message.TryGetProperty("error", out var error), $"{error}");
            if (message.TryGetProperty("usage", out var counts) && counts.ValueKind == JsonValueKind.Object)
                usage = counts;
            if (message.GetProperty("choices").EnumerateArray().FirstOrDefault() is not { ValueKind: JsonValueKind.Object } choice
                || !choice.GetProperty("delta").TryGetProperty("content", out var content) || content.GetString() is not { Length: > 0 } piece)
                continue;
            text.Append(piece);
            pieces--;
        }

        return new Answer($"{text}", usage);
    }

    /// <summary>A document of the coordinator's.</summary>
    public async Task<JsonElement> GetAsync(string path) => JsonDocument.Parse(await _http.GetStringAsync(path)).RootElement;

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        if (_serve is not null)
            await _serve.DisposeAsync();
        foreach (var (process, _) in _workers.Values)
            await process.DisposeAsync();
        _folder.Dispose();
    }

    private void Turn(Cli serve, string address)
    {
        (_serve, Address) = (serve, address);
        _http.Dispose();
        _http = new HttpClient { BaseAddress = new Uri($"http://{address}"), Timeout = TimeSpan.FromSeconds(60) };
    }

    [GeneratedRegex(@"stands by on http://(127\.0\.0\.1:\d+) while the coordinator on http://(127\.0\.0\.1:\d+) leads\n")]
    private static partial Regex StandsBy();

    [GeneratedRegex(@"is served on http://(127\.0\.0\.1:\d+)\n")]
    private static partial Regex Served();

    /// <summary>A coordinator that stands by, where it serves HTTP, and where the one does that leads.</summary>
    internal sealed record Standby(Cli Serve, string Address, string Leader) : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => Serve.DisposeAsync();
    }

    /// <summary>What came of a request.</summary>
    internal sealed record Answer(string Text, JsonElement? Usage)
    {
        public int Prompt => Usage!.Value.GetProperty("prompt_tokens").GetInt32();

        public int Cached => Usage!.Value.GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32();
    }
}
