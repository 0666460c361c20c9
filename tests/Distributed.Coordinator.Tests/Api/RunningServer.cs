using System.ClientModel;
using Distributed.Cluster.Config;
using Distributed.Coordinator.Api;
using OpenAI;
using OpenAI.Chat;

namespace Distributed.Coordinator.Tests.Api;

/// <summary>The real HTTP server over the sample model on real worker processes.</summary>
internal sealed class RunningServer : IAsyncDisposable
{
    public const string Model = "tales-5m-q8_0";
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _running;

    private RunningServer(LocalWorkers workers, ClusterConfig config)
    {
        Workers = workers;
        var ready = new TaskCompletionSource<(string Url, CoordinatorHost Host)>();
        _running = HttpServer.RunAsync(config, null, (url, host) => ready.SetResult((url, host)), _stop.Token);
        _ = _running.ContinueWith(ended => ready.TrySetException(ended.Exception!), TaskContinuationOptions.OnlyOnFaulted);
        Ready = ready.Task;
    }

    public LocalWorkers Workers { get; }

    public CoordinatorHost Host { get; private set; } = null!;

    public HttpClient Http { get; private set; } = null!;

    private Task<(string Url, CoordinatorHost Host)> Ready { get; }

    public static async Task<RunningServer> StartAsync(int workers = 2, Func<ClusterConfig, ClusterConfig>? change = null)
    {
        var local = await SpareWorkers.TakeAsync(workers);
        var config = RunningCluster.Config(local);
        var server = new RunningServer(local, change?.Invoke(config) ?? config);
        var (url, host) = await server.Ready.WaitAsync(RunningCluster.Patience);
        server.Host = host;
        server.Http = new HttpClient { BaseAddress = new Uri(url), Timeout = RunningCluster.Patience };
        return server;
    }

    /// <summary>The official client.</summary>
    public ChatClient Client() => new(Model, new ApiKeyCredential("none"), new OpenAIClientOptions
    {
        Endpoint = new Uri(Http.BaseAddress!, "/v1"),
        RetryPolicy = new System.ClientModel.Primitives.ClientRetryPolicy(maxRetries: 0),
    });

    /// <summary>Waits until no stage holds any KV.</summary>
    public async Task EmptyAsync()
    {
        using var timeout = new CancellationTokenSource(RunningCluster.Patience);
        while ((await Host.Pipeline.ReportKvAsync(default)).Any(stage => stage.Sequences.Count > 0))
            await Task.Delay(10, timeout.Token);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await SpareWorkers.LeaveAsync(Workers, Host, StopAsync);
        _stop.Dispose();
    }

    private async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _running.WaitAsync(RunningCluster.Patience);
    }
}
