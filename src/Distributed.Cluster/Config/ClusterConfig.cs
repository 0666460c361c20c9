using Distributed.Cluster.Certificates;
using Distributed.Cluster.Links;
using Distributed.Core;

namespace Distributed.Cluster.Config;

/// <summary>
/// A cluster: what a cluster file says, with every default in its place. A file's keys are these names in kebab-case, and so
/// are the command line's flags. Made by <see cref="ClusterFile"/>, or in code; <see cref="ClusterValidator"/> judges both.
/// </summary>
public sealed record ClusterConfig
{
    /// <summary>The default of <see cref="Context"/>, where the model's own context is not shorter.</summary>
    public const int DefaultContext = 4096;

    /// <summary>
    /// The model file, the first shard of a split set, or a folder from Hugging Face. A relative path in a cluster file counts from
    /// that file's folder.
    /// </summary>
    public required string Model { get; init; }

    /// <summary>The longest sequence, in tokens; null for the model's own context, at most <see cref="DefaultContext"/>.</summary>
    public int? Context { get; init; }

    /// <summary>The format of the KV cache.</summary>
    public KvType KvType { get; init; } = KvType.F16;

    /// <summary>The most tokens in one step: long prompts are prefilled in chunks, none of more than this.</summary>
    public int MaxBatchTokens { get; init; } = 256;

    /// <summary>How many sequences of the full context the KV cache has room for at once.</summary>
    public int Sequences { get; init; } = 4;

    /// <summary>How many requests may wait for a place; more are refused.</summary>
    public int MaxWaiting { get; init; } = 64;

    /// <summary>The format of hidden states between workers.</summary>
    public WireType Wire { get; init; } = WireType.F32;

    /// <summary>What every link between two nodes is made to be; null to leave them as they are.</summary>
    public LinkShape? Link { get; init; }

    /// <summary>Where the coordinator serves HTTP; port 0 takes any free one.</summary>
    public NodeAddress Http { get; init; } = NodeAddress.Parse("http", "127.0.0.1:8080");

    /// <summary>The keys that HTTP requests must show one of, one a line; null for none, and whoever reaches it may ask.</summary>
    public string? ApiKeyFile { get; init; }

    /// <summary>The certificate of the HTTP server, PEM; null for plain HTTP.</summary>
    public string? HttpCertificate { get; init; }

    /// <summary>Its key; null where there is no certificate.</summary>
    public string? HttpKey { get; init; }

    /// <summary>The largest body of an HTTP request, bytes.</summary>
    public long MaxBody { get; init; } = 4 << 20;

    /// <summary>The longest prompt of an HTTP request, in tokens; null for what the context holds.</summary>
    public int? MaxPrompt { get; init; }

    /// <summary>How many HTTP requests are answered at once, those that wait for a place among them; more are refused.</summary>
    public int MaxRequests { get; init; } = 256;

    /// <summary>How long a client may take for a request's headers.</summary>
    public TimeSpan HeaderTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>What this node shows the workers, and holds theirs against; null for connections in plain text.</summary>
    public TlsConfig? Tls { get; init; }

    /// <summary>
    /// Allows what anybody on the network can read and use: plain text to other machines, and HTTP for them without a key.
    /// </summary>
    public bool Insecure { get; init; }

    /// <summary>How long to wait for a worker to answer.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a worker may be silent before it counts as lost and the pipeline goes on without it.</summary>
    public TimeSpan FailureTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// How long requests wait while the workers that are left cannot hold the model; then they fail with what is missing, and so do
    /// those that come, until a worker is back.
    /// </summary>
    public TimeSpan RecoveryTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// How long workers keep their layers and the KV cache when their coordinator is gone: one that is started again within that time goes
    /// on with what is there.
    /// </summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>The folder where the coordinator keeps what outlives it; null for the worker's own, which is the user's for caches.</summary>
    public string? Data { get; init; }

    /// <summary>What the coordinator's state is kept in.</summary>
    public StateConfig State { get; init; } = new();

    /// <summary>
    /// The term of this coordinator, where several stand by for each other: rises with every one that leads, and workers follow the latest.
    /// No key of a file. 0 where there is one alone.
    /// </summary>
    public long Term { get; init; }

    /// <summary>The workers, in the order in which a split over all of them uses them; at least one.</summary>
    public IReadOnlyList<WorkerConfig> Workers { get; init; } = [];

    /// <summary>Which layers go where; null (<c>auto</c> or <c>all</c> in a file) leaves it to the planner.</summary>
    public IReadOnlyList<SplitConfig>? Split { get; init; }

    /// <summary>
    /// Without a <see cref="Split"/>: use every device, in proportion to free memory (<c>all</c> in a file), rather than those that
    /// give the fewest ms per token (<c>auto</c>).
    /// </summary>
    public bool SplitOverAll { get; init; }

    /// <summary>Layers that an automatic split must put on a device; each range on one stage, with others around it or not.</summary>
    public IReadOnlyList<SplitConfig> Pin { get; init; } = [];

    /// <summary>What an automatic split must not use: workers by name, or <c>WORKER/DEVICE</c>.</summary>
    public IReadOnlyList<string> Exclude { get; init; } = [];

    /// <summary>For how many sequences at once an automatic split is to be quick; at most <see cref="Sequences"/>.</summary>
    public int PlanFor { get; init; } = 1;

    /// <summary>Where each value was written, for errors; empty for a config made in code.</summary>
    public ConfigOrigins Origins { get; init; } = ConfigOrigins.None;

    /// <summary>The longest sequence with this model, in tokens: <see cref="Context"/> with its default resolved.</summary>
    public int ContextFor(ModelConfig model) => Context ?? Math.Min(model.ContextLength, DefaultContext);

    /// <summary>The link between the coordinator and a worker; null to leave it as it is.</summary>
    public LinkShape? LinkOf(string worker) => Workers.FirstOrDefault(other => other.Name == worker)?.Link ?? Link;

    /// <summary>Who must answer at a worker's address; null for whoever does.</summary>
    /// <exception cref="InvalidInputException">The files of <see cref="Tls"/> cannot be used.</exception>
    public NodePeer? PeerOf(string worker) => Tls is null ? null : new NodePeer(Tls.Load(), worker);

    /// <summary>The link between two workers; null to leave it as it is, and within one worker.</summary>
    public LinkShape? LinkBetween(string worker, string other) => worker == other ? null : LinkShape.Between(
        Workers.FirstOrDefault(one => one.Name == worker)?.Link, Workers.FirstOrDefault(one => one.Name == other)?.Link) ?? Link;

    /// <summary>Whether <see cref="Exclude"/> names a device, or its worker.</summary>
    public bool Excludes(string worker, string device) => Exclude.Contains(worker) || Exclude.Contains($"{worker}/{device}");

    /// <summary>An error about one of the values, with the place where it was written.</summary>
    /// <param name="key">The key, e.g. <c>workers[1].address</c>.</param>
    /// <param name="value">The value; null when it is missing.</param>
    /// <param name="rule">The rule it breaks, as a phrase that follows the value.</param>
    public InputError Error(string key, object? value, string rule) => Origins.Error(key, value?.ToString(), rule);
}

/// <summary>A worker of a cluster.</summary>
public sealed record WorkerConfig
{
    /// <summary>A name of its own, which placements, reports and <see cref="SplitConfig.Worker"/> use.</summary>
    public required string Name { get; init; }

    /// <summary>Where it listens, as the coordinator and the other workers reach it.</summary>
    public required NodeAddress Address { get; init; }

    /// <summary>The devices to use, in this order; null for all that the worker offers.</summary>
    public IReadOnlyList<string>? Devices { get; init; }

    /// <summary>The most memory to use per device, in bytes; a device without an entry may use what the worker allows.</summary>
    public IReadOnlyDictionary<string, long> Memory { get; init; } = new Dictionary<string, long>();

    /// <summary>
    /// Where that worker has a copy of the model of its own, used as it stands: a relative path counts from where the worker was
    /// started. Null where that is as <see cref="ClusterConfig.Model"/> says. A worker without a copy is sent what it needs.
    /// </summary>
    public string? Model { get; init; }

    /// <summary>
    /// What its links to the coordinator and the other workers are made to be; between two workers with links of their own, the
    /// longer delay and the lower rate count. Null for <see cref="ClusterConfig.Link"/>.
    /// </summary>
    public LinkShape? Link { get; init; }
}

/// <summary>One stage of an explicit split.</summary>
public sealed record SplitConfig
{
    /// <summary>The name of the worker.</summary>
    public required string Worker { get; init; }

    /// <summary>One of its devices; null where it has only one.</summary>
    public string? Device { get; init; }

    /// <summary>The stage's layers.</summary>
    public required LayerRange Layers { get; init; }

    /// <summary>For people: <c>0-9 on a/cpu</c>.</summary>
    public override string ToString() => $"{Layers} on {Worker}{(Device is null ? "" : $"/{Device}")}";
}
