using System.Text.RegularExpressions;

namespace Distributed.Cli.Lab;

/// <summary>Worker processes on ports of loopback, and a coordinator process that serves them.</summary>
internal sealed partial class SoakCluster : IAsyncDisposable
{
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(90);

    private readonly SoakOptions _options;
    private readonly string _folder;
    private readonly List<(SoakNode Node, string Address)> _workers = [];
    private readonly SoakNode _coordinator;
    private readonly HttpClient _http = new() { Timeout = Timeout.InfiniteTimeSpan };
    private volatile TaskCompletionSource<string> _served = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private SoakCluster(SoakOptions options, string folder)
    {
        (_options, _folder) = (options, folder);
        _coordinator = new SoakNode("coordinator", Path.Combine(folder, "coordinator.log"), Served());
    }

    /// <summary>The workers.</summary>
    public IReadOnlyList<SoakNode> Workers => [.. _workers.Select(worker => worker.Node)];

    /// <summary>The coordinator.</summary>
    public SoakNode Coordinator => _coordinator;

    /// <summary>How often the coordinator was killed: a stream that breaks while this does not change is lost.</summary>
    public int Kills { get; private set; }

    /// <summary>Starts all of it.</summary>
    /// <param name="options">How large.</param>
    /// <param name="folder">For the cluster file, the state and what the processes print.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<SoakCluster> StartAsync(SoakOptions options, string folder, CancellationToken cancellation)
    {
        var cluster = new SoakCluster(options, folder);
        try
        {
            for (var i = 0; i < options.Workers; i++)
            {
                var node = new SoakNode($"worker-{i}", Path.Combine(folder, $"worker-{i}.log"), Listening());
                cluster._workers.Add((node, ""));
                cluster._workers[i] = (node, await node.StartAsync(cluster.WorkerArguments(node, "127.0.0.1:0"), cancellation));
            }

            await File.WriteAllTextAsync(cluster.ClusterFile, $"""
                model: {options.Model}
                http: 127.0.0.1:0
                data: state
                split: all
                sequences: {options.Streams}
                workers:
                {string.Join('\n', cluster._workers.Select(worker => $"  - {{ name: {worker.Node.Name}, address: \"{worker.Address}\" }}"))}
                """, cancellation);
            await cluster.ServeAsync(cancellation);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts the coordinator, once more where it was killed.</summary>
    public async Task ServeAsync(CancellationToken cancellation) =>
        _served.TrySetResult(await _coordinator.StartAsync(["serve", "-c", ClusterFile, "--exit-with-input"], cancellation));

    /// <summary>Ends the coordinator as SIGKILL does. Who waits for it waits until it is served again.</summary>
    public async Task KillCoordinatorAsync()
    {
        _served = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Kills++;
        await _coordinator.KillAsync();
    }

    /// <summary>Starts a worker again, on the port that it had.</summary>
    public async Task StartAgainAsync(SoakNode worker, CancellationToken cancellation)
    {
        var address = _workers.First(known => known.Node == worker).Address;
        await worker.StartAsync(WorkerArguments(worker, address), cancellation);
    }

    /// <summary>Sends a request for an answer, once a coordinator is there.</summary>
    /// <param name="body">The body, JSON.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The response, whose body is still to be read.</returns>
    public async Task<HttpResponseMessage> AskAsync(string body, CancellationToken cancellation)
    {
        var url = await _served.Task.WaitAsync(cancellation);
        using var request = new HttpRequestMessage(HttpMethod.Post, $"{url}/v1/chat/completions")
        {
            Content = new StringContent(body, null, "application/json"),
        };
        return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
    }

    /// <summary>Has the coordinator do something, once one is there.</summary>
    /// <param name="path">E.g. <c>/rebalance</c>.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>Whether it did; not where it refused, or was killed meanwhile.</returns>
    public async Task<bool> PostAsync(string path, CancellationToken cancellation)
    {
        var url = await _served.Task.WaitAsync(cancellation);
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        timeout.CancelAfter(CallTimeout);
        try
        {
            using var response = await _http.PostAsync($"{url}{path}", null, timeout.Token);
            return response.IsSuccessStatusCode;
        }
        catch (Exception error) when (error is HttpRequestException || (error is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _coordinator.DisposeAsync();
        foreach (var (node, _) in _workers)
            await node.DisposeAsync();
        _http.Dispose();
    }

    private string ClusterFile => Path.Combine(_folder, "cluster.yaml");

    private IEnumerable<string> WorkerArguments(SoakNode node, string address) =>
    [
        "worker", "--name", node.Name, "--listen", address, "--threads", $"{_options.Threads}", "--memory", $"cpu={_options.WorkerMemory}B",
        "--exit-with-input",
    ];

    [GeneratedRegex(@" listens on ([\d.]+:\d+)$")]
    private static partial Regex Listening();

    [GeneratedRegex(@" is served on (http://\S+)$")]
    private static partial Regex Served();
}
