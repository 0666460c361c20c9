using System.CommandLine;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Core;
using Distributed.Worker;
using Microsoft.Extensions.Logging;

namespace Distributed.Cli.Commands;

/// <summary>The flags that several verbs share. Each stands here once; a verb adds those it knows.</summary>
internal static class CommonOptions
{
    static CommonOptions() => MemoryOfDevice.Validators.Add(given =>
    {
        // What is wrong with the values is told already, by name.
        if (given.Implicit || given.Tokens.Count == 0 || Flag.ReadMemory(given.Tokens[0].Value, out var memory) is not null || memory.Count != 1)
            return;
        var device = given.GetResult(Device) is { Tokens: [{ Value: var name }] } && DeviceInventory.IsName(name) ? name : DeviceInventory.Cpu;
        if (!memory.ContainsKey(device))
            given.AddError(new InputError(
                Memory.Name, given.Tokens[0].Value, $"must name {device} alone, with more than 0 bytes, like {device}=400MiB").ToString());
    });

    /// <summary>A cluster without any keys: what holds where neither a file nor a flag says otherwise.</summary>
    public static readonly ClusterConfig Defaults = new() { Model = "" };

    /// <summary>The most worker processes that a command starts itself.</summary>
    public const int MaxLocalWorkers = Coordinator.LocalWorkers.MaxWorkers;

    /// <summary>The most threads one device may be given.</summary>
    public const int MaxThreads = 1024;

    /// <summary>How many worker processes a command starts itself unless told otherwise.</summary>
    public const int DefaultLocalWorkers = 3;

    /// <summary>Where a coordinator serves HTTP unless told otherwise.</summary>
    public static NodeAddress DefaultHttp { get; } = Defaults.Http;

    private static readonly Dictionary<string, LogLevel> LogLevels = new()
    {
        ["trace"] = Microsoft.Extensions.Logging.LogLevel.Trace,
        ["debug"] = Microsoft.Extensions.Logging.LogLevel.Debug,
        ["info"] = Microsoft.Extensions.Logging.LogLevel.Information,
        ["warning"] = Microsoft.Extensions.Logging.LogLevel.Warning,
        ["error"] = Microsoft.Extensions.Logging.LogLevel.Error,
        ["none"] = Microsoft.Extensions.Logging.LogLevel.None,
    };

    /// <summary>A model file; null for the cluster's model, or the sample model without a cluster.</summary>
    public static Option<string?> Model { get; } =
        Flag.Text("--model", "FILE", "The model: a GGUF file, the first of a split set, or a folder from Hugging Face", "-m");

    /// <summary>A cluster file; null for worker processes of the command's own.</summary>
    public static Option<string?> Cluster { get; } = Flag.Text("--cluster", "FILE", "The cluster to use (YAML)", "-c");

    /// <summary>Where to serve HTTP; null for the cluster's own address.</summary>
    public static Option<NodeAddress?> Http { get; } = Flag.Address("--http", $"Where to serve HTTP (default {DefaultHttp})");

    /// <summary>The longest sequence in tokens; null for the default.</summary>
    public static Option<int?> Context { get; } = Flag.Whole("--context", "The longest sequence, in tokens", 1, 1 << 24);

    /// <summary>The format of the KV cache; null for the default.</summary>
    public static Option<KvType?> KvType { get; } =
        Flag.Create("--kv-type", "TYPE", $"The format of the KV cache: f32, f16 or q8_0 (default {Defaults.KvType.ToName()})", (string text, out KvType? type) =>
        {
            type = KvTypes.TryParse(text);
            return type is null ? "must be one of f32, f16, q8_0" : null;
        });

    /// <summary>Threads that compute, per worker; null for the default.</summary>
    public static Option<int?> Threads { get; } =
        WithoutCluster(Flag.Whole("--threads", "Threads that compute, in each worker started here", 1, MaxThreads, "-t"));

    /// <summary>The device to compute on; null for the processor. One of this machine's, or not: <see cref="LocalDevice"/> tells.</summary>
    public static Option<string?> Device { get; } = WithoutCluster(Flag.Create(
        "--device", "DEVICE", $"The device to compute on, here or in each worker started here: {DeviceInventory.Names} (default {DeviceInventory.Cpu})",
        (string text, out string? name) =>
        {
            name = text;
            return DeviceInventory.IsName(text) ? null : $"must be one of {DeviceInventory.Names}";
        }));

    /// <summary>What stages may take in each worker started here; null for an equal share of what is free. It names their device.</summary>
    private static readonly Option<KeyValuePair<string, long>?> MemoryOfDevice = WithoutCluster(Flag.Create(
        "--memory", "DEVICE=SIZE", "What stages may take in each worker started here, e.g. cpu=400MiB (default its share of what is free)",
        (string text, out KeyValuePair<string, long>? value) =>
        {
            var rule = Flag.ReadMemory(text, out var memory);
            value = memory.Count == 1 ? memory.Single() : null;
            return rule ?? (value is { Value: > 0 } ? null : "must name one device, with more than 0 bytes, like cpu=400MiB");
        }));

    /// <inheritdoc cref="MemoryOfDevice"/>
    public static Option Memory => MemoryOfDevice;

    /// <summary>Worker processes to start; null for the default.</summary>
    public static Option<int?> Workers { get; } = LocalWorkers(1, $"default {DefaultLocalWorkers}");

    /// <summary>The format of hidden states between workers; null for the default.</summary>
    public static Option<WireType?> Wire { get; } =
        Flag.Word("--wire", "TYPE", $"The format of hidden states between workers: f32, f16 or q8_0 (default {Defaults.Wire.ToName()}; f32 is exact)", WireTypes.ByName);

    /// <summary>What the links between nodes are made to be; null to leave them as they are.</summary>
    public static Option<LinkShape?> Link { get; } = Flag.Create(
        "--link", "SHAPE", "Make the links between nodes slower, to see what that does: delay=1ms,rate=1Gbit or one of the two",
        (string text, out LinkShape? link) => LinkShape.TryParse(text, out link!) ? null : LinkShape.Rule);

    /// <summary>Where this node's certificate and the CA's are; null for what the cluster file says.</summary>
    public static Option<string?> TlsFolder { get; } = Flag.Text(
        "--tls-dir", "DIR", "Where ca.crt, and this node's NAME.crt and NAME.key are (made by `distributed certs`): TLS between nodes, "
        + $"members only. NAME is the worker's, {TlsConfig.Coordinator} for other verbs");

    /// <summary>Keys of the HTTP API; null for what the cluster file says.</summary>
    public static Option<string?> ApiKeyFile { get; } =
        Flag.Text("--api-key-file", "FILE", "API keys, one a line: HTTP requests must show one (Authorization: Bearer KEY)");

    /// <summary>The certificate of the HTTP server; null for what the cluster file says.</summary>
    public static Option<string?> HttpCertificate { get; } = Flag.Text("--http-certificate", "FILE", "Serve HTTPS with this certificate (PEM)");

    /// <summary>Its key; null for what the cluster file says.</summary>
    public static Option<string?> HttpKey { get; } = Flag.Text("--http-key", "FILE", "The certificate's key (PEM)");

    /// <summary>Allows plain text to other machines.</summary>
    public static Option<bool> Insecure { get; } = Flag.Switch(
        "--insecure", "Allow plain text to and from other machines: anybody on the way can read and change it, and use what it reaches");

    /// <summary>How much is logged on stderr; null for the verb's own default.</summary>
    public static Option<LogLevel?> LogLevel { get; } =
        Flag.Word("--log-level", "LEVEL", $"What to log on stderr: {string.Join(", ", LogLevels.Keys)}", LogLevels);

    /// <summary>One JSON document instead of a table.</summary>
    public static Option<bool> Json { get; } = Flag.Switch("--json", "Print one JSON document instead of a table");

    /// <summary>What the command itself logs.</summary>
    public static LogLevel LogLevelOf(ParseResult flags) => flags.GetValue(LogLevel) ?? Microsoft.Extensions.Logging.LogLevel.Warning;

    /// <summary>What the workers that a command starts log, as they read it; null for their own default.</summary>
    public static string? LogLevelOfWorkers(ParseResult flags) => flags.GetResult(LogLevel)?.Tokens[0].Value;

    /// <summary>Whether the user wants to see where errors come from.</summary>
    public static bool IsDebugging(ParseResult flags) =>
        flags.GetResult(LogLevel) is not null && flags.GetValue(LogLevel) <= Microsoft.Extensions.Logging.LogLevel.Debug;

    /// <summary><c>--workers</c>, for verbs with a lowest number or a default of their own.</summary>
    public static Option<int?> LocalWorkers(int from, string note) =>
        WithoutCluster(Flag.Whole("--workers", $"Worker processes to start for this command ({note})", from, MaxLocalWorkers));

    /// <summary>What <see cref="Memory"/> says, in bytes; null where it is absent.</summary>
    public static long? MemoryIn(ParseResult flags) => flags.GetValue(MemoryOfDevice)?.Value;

    private static Option<T> WithoutCluster<T>(Option<T> option)
    {
        option.NotBeside(Cluster, ", whose workers run already");
        return option;
    }
}
