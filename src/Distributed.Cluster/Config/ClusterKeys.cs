using Distributed.Cluster.Links;
using Distributed.Core;

namespace Distributed.Cluster.Config;

/// <summary>The keys of a cluster file, one table per record: the only place that knows their names.</summary>
internal static class ClusterKeys
{
    private static readonly (string, KvType)[] KvTypes = [("f32", KvType.F32), ("f16", KvType.F16), ("q8_0", KvType.Q8_0)];

    private static readonly (string, WireType)[] Wires = [.. WireTypes.ByName.Select(pair => (pair.Key, pair.Value))];

    private static readonly (string, bool)[] Switches = [("true", true), ("false", false)];

    // What stands for values that could not be read: each breaks its own rule, so the validator makes nothing more of it.
    private static readonly WorkerConfig NoWorker = new() { Name = "", Address = NodeAddress.Parse("address", "none:0") };

    private static readonly SplitConfig NoSplit = new() { Worker = "", Layers = new LayerRange(0, -1) };

    private static readonly TlsConfig NoTls = new() { Ca = "", Certificate = "", Key = "" };

    private static readonly IReadOnlyList<ConfigKey<TlsConfig>> Tls =
    [
        new("ca", (tls, value) => tls with { Ca = value.FilePath() }, IsRequired: true),
        new("certificate", (tls, value) => tls with { Certificate = value.FilePath() }, IsRequired: true),
        new("key", (tls, value) => tls with { Key = value.FilePath() }, IsRequired: true),
    ];

    public static readonly IReadOnlyList<ConfigKey<ClusterConfig>> Cluster =
    [
        new("model", (config, value) => config with { Model = value.FilePath() }, IsRequired: true),
        new("context", (config, value) => config with { Context = value.Int() }),
        new("kv-type", (config, value) => config with { KvType = value.OneOf(KvTypes) }),
        new("max-batch-tokens", (config, value) => config with { MaxBatchTokens = value.Int() }),
        new("sequences", (config, value) => config with { Sequences = value.Int() }),
        new("max-waiting", (config, value) => config with { MaxWaiting = value.Int() }),
        new("wire", (config, value) => config with { Wire = value.OneOf(Wires) }),
        new("link", (config, value) => config with { Link = Link(value) }),
        new("http", (config, value) => config with { Http = Address(value) }),
        new("api-key-file", (config, value) => config with { ApiKeyFile = value.FilePath() }),
        new("http-certificate", (config, value) => config with { HttpCertificate = value.FilePath() }),
        new("http-key", (config, value) => config with { HttpKey = value.FilePath() }),
        new("max-body", (config, value) => config with { MaxBody = Size(value) }),
        new("max-prompt", (config, value) => config with { MaxPrompt = value.Int() }),
        new("max-requests", (config, value) => config with { MaxRequests = value.Int() }),
        new("header-timeout", (config, value) => config with { HeaderTimeout = value.Parse<TimeSpan>(Duration.TryParse, Duration.Rule) }),
        new("tls", (config, value) => config with { Tls = value.Binder.Bind(NoTls, value.Key, value.Node, Tls) }),
        new("insecure", (config, value) => config with { Insecure = value.OneOf(Switches) }),
        new("connect-timeout", (config, value) => config with { ConnectTimeout = value.Parse<TimeSpan>(Duration.TryParse, Duration.Rule) }),
        new("failure-timeout", (config, value) => config with { FailureTimeout = value.Parse<TimeSpan>(Duration.TryParse, Duration.Rule) }),
        new("recovery-timeout", (config, value) => config with { RecoveryTimeout = value.Parse<TimeSpan>(Duration.TryParse, Duration.Rule) }),
        new("lease", (config, value) => config with { Lease = value.Parse<TimeSpan>(Duration.TryParse, Duration.Rule) }),
        new("data", (config, value) => config with { Data = value.FilePath() }),
        new("state", (config, value) => config with { State = ReadState(config.State, value) }),
        new("workers", (config, value) => config with
        {
            Workers = value.List("a list of workers, each with a name and an address", ReadWorker, NoWorker),
        }, IsRequired: true),
        new("split", (config, value) => config with
        {
            SplitOverAll = value.IsText("all"),
            Split = value.IsText("auto") || value.IsText("all")
                ? null
                : value.List("auto, all or a list of stages, each with a worker and layers", ReadStage, NoSplit),
        }),
        new("pin", (config, value) => config with
        {
            Pin = value.List("a list of pins, each with a worker and layers", ReadStage, NoSplit),
        }),
        new("exclude", (config, value) => config with
        {
            Exclude = value.List("a list of workers, or of WORKER/DEVICE", item => item.Text(), ""),
        }),
        new("plan-for", (config, value) => config with { PlanFor = value.Int() }),
    ];

    private static readonly IReadOnlyList<ConfigKey<WorkerConfig>> Worker =
    [
        new("name", (worker, value) => worker with { Name = value.Text() }, IsRequired: true),
        new("address", (worker, value) => worker with { Address = Address(value) }, IsRequired: true),
        new("devices", (worker, value) => worker with
        {
            Devices = value.List("a list of devices, like [cpu, cuda:0]", item => item.Text(), ""),
        }),
        new("memory", (worker, value) => worker with { Memory = value.Dictionary("a size per device, like {cpu: 8GiB}", Size) }),
        new("model", (worker, value) => worker with { Model = value.Text() }),
        new("link", (worker, value) => worker with { Link = Link(value) }),
    ];

    private static readonly IReadOnlyList<ConfigKey<SplitConfig>> Split =
    [
        new("worker", (split, value) => split with { Worker = value.Text() }, IsRequired: true),
        new("device", (split, value) => split with { Device = value.Text() }),
        new("layers", (split, value) => split with
        {
            Layers = value.Parse<LayerRange>(LayerRange.TryParse, LayerRange.Rule),
        }, IsRequired: true),
    ];

    private static readonly (string, StateProvider)[] StateProviders =
        [("sqlite", StateProvider.Sqlite), ("memory", StateProvider.Memory), ("postgresql", StateProvider.PostgreSql)];

    private static readonly IReadOnlyList<ConfigKey<StateConfig>> State =
    [
        new("provider", (state, value) => state with { Provider = value.OneOf(StateProviders) }),
        new("connection", (state, value) => state with { Connection = value.Text() }),
        new("cluster", (state, value) => state with { Cluster = value.Text() }),
        new("silo", (state, value) => state with { Silo = SiloAddress(value) }),
    ];

    private static StateConfig ReadState(StateConfig state, ConfigValue value)
    {
        state = value.Binder.Bind(state, value.Key, value.Node, State);
        return state is { Provider: StateProvider.Sqlite, Connection: { } file } && !file.Contains('\0')
            ? state with { Connection = Path.GetFullPath(file, value.Binder.Folder) }
            : state;
    }

    private static WorkerConfig ReadWorker(ConfigValue value) => value.Binder.Bind(NoWorker, value.Key, value.Node, Worker);

    private static SplitConfig ReadStage(ConfigValue value) => value.Binder.Bind(NoSplit, value.Key, value.Node, Split);

    private static NodeAddress SiloAddress(ConfigValue value) =>
        NodeAddress.TryParse(value.Text()) ?? NodeAddress.TryParse($"{value.Text()}:0") ?? NodeAddress.Parse(value.Key, value.Text());

    private static NodeAddress Address(ConfigValue value) => NodeAddress.Parse(value.Key, value.Text());

    private static LinkShape Link(ConfigValue value) => value.Parse<LinkShape>(LinkShape.TryParse, LinkShape.Rule);

    private static long Size(ConfigValue value) => value.Parse<long>(ByteSize.TryParse, ByteSize.Rule);
}
