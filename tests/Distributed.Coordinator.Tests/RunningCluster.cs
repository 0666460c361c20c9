using System.Text.Json;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Scheduling;
using Distributed.Core.Chat;
using Distributed.Core.Sampling;
using Distributed.Grains;
using Distributed.Testing;

namespace Distributed.Coordinator.Tests;

/// <summary>The sample model on real worker processes, with a coordinator in this process.</summary>
internal sealed class RunningCluster : IAsyncDisposable
{
    /// <summary>Long enough for a slow machine, short enough that a test that hangs is seen.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>
    /// After what silence a worker counts as lost: longer than a busy machine leaves a process without a core. A worker that is killed
    /// closes its connections and is noticed at once.
    /// </summary>
    public static readonly TimeSpan FailureTimeout = TimeSpan.FromSeconds(10);

    /// <summary>The same where a worker that falls silent is what is tested.</summary>
    public static readonly TimeSpan ShortFailureTimeout = TimeSpan.FromSeconds(3);

    public const long WorkerMemory = 256 << 20;
    public static readonly SamplingOptions Greedy = new() { Temperature = 0 };

    /// <summary>A prompt whose greedy answer goes on for long.</summary>
    public const string Story = "Tell me a story about a fox.";

    private static readonly JsonElement Reference = JsonDocument.Parse(
        File.ReadAllText(Path.Combine(Path.GetDirectoryName(Repository.SampleModel)!, "expected.json"))).RootElement.GetProperty("cases");

    private RunningCluster(LocalWorkers workers, CoordinatorHost host) => (Workers, Host) = (workers, host);

    public static IReadOnlyList<string> Program { get; } = [Repository.Program];

    public LocalWorkers Workers { get; }

    public CoordinatorHost Host { get; }

    public static async Task<RunningCluster> StartAsync(
        int workers = 3, Func<ClusterConfig, ClusterConfig>? change = null, Action<ISiloBuilder>? storage = null)
    {
        var local = await SpareWorkers.TakeAsync(workers);
        try
        {
            var config = Config(local);
            return new RunningCluster(local, await CoordinatorHost.StartAsync(change?.Invoke(config) ?? config, null, storage, default));
        }
        catch
        {
            await local.DisposeAsync();
            throw;
        }
    }

    public static ClusterConfig Config(LocalWorkers workers) => new()
    {
        Model = Repository.SampleModel,
        SplitOverAll = true,
        FailureTimeout = FailureTimeout,
        Workers = [.. workers.Workers.Select(worker => new WorkerConfig { Name = worker.Name, Address = worker.Address })],
        Http = Cluster.NodeAddress.Parse("http", "127.0.0.1:0"),
    };

    /// <summary>For how many prompts there is a reference.</summary>
    public static int ExpectedAnswers => Reference.GetArrayLength();

    /// <summary>A prompt with the text that the reference gives at temperature 0.</summary>
    public static (string Prompt, string Text) Expected(int index) =>
        (Reference[index].GetProperty("prompt").GetString()!, Reference[index].GetProperty("text").GetString()!);

    /// <summary>A greedy request for an answer to one message.</summary>
    public GenerationRequest Ask(string prompt) => new() { Tokens = Host.EncodeChat([new ChatMessage("user", prompt)]), Sampling = Greedy };

    /// <summary>The whole answer, with the generation it came from.</summary>
    public async Task<(List<GeneratedToken> Tokens, Generation Generation)> GenerateAsync(
        GenerationRequest request, CancellationToken cancellation = default)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        timeout.CancelAfter(Patience);
        var generation = Host.Scheduler.Generate(request, timeout.Token);
        var tokens = new List<GeneratedToken>();
        await foreach (var token in generation)
            tokens.Add(token);
        return (tokens, generation);
    }

    /// <summary>The ids of the whole answer.</summary>
    public async Task<int[]> IdsAsync(GenerationRequest request) => [.. (await GenerateAsync(request)).Tokens.Select(token => token.Id)];

    /// <summary>What the workers say that their KV caches hold, stage by stage.</summary>
    public Task<IReadOnlyList<StageKv>> ReportAsync() => Host.Pipeline.ReportKvAsync(default);

    /// <summary>Waits until no stage holds any KV.</summary>
    public async Task EmptyAsync()
    {
        using var timeout = new CancellationTokenSource(Patience);
        while ((await ReportAsync()).Any(stage => stage.Sequences.Count > 0 || stage.FreeBlocks != stage.Blocks))
            await Task.Delay(10, timeout.Token);
    }

    /// <summary>The session's record, once all that has happened is on it.</summary>
    public async Task<SessionRecord> RecordAsync(string session)
    {
        using var timeout = new CancellationTokenSource(Patience);
        await Host.FlushSessionsAsync(timeout.Token);
        return (await Host.GetSessionAsync(session, default))!;
    }

    public async ValueTask DisposeAsync() => await SpareWorkers.LeaveAsync(Workers, Host, () => Host.DisposeAsync().AsTask());
}
