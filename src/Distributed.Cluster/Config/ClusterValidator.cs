using System.Text.RegularExpressions;
using Distributed.Core;

namespace Distributed.Cluster.Config;

/// <summary>The rules of a <see cref="ClusterConfig"/>, whether it comes from a file, from flags or from code.</summary>
public static partial class ClusterValidator
{
    private const int MaxContext = 1 << 24;
    private const int MaxWorkers = 256;
    private const long MostBody = 1 << 30;

    // What else is in a message of hidden states (slices, tokens, timings) has its room in the rest.
    private const int MaxHiddenBytes = NodeChannel.MaxMessageBytes - (1 << 20);

    /// <summary>What a worker's name must be, as a phrase that follows it.</summary>
    public const string WorkerNameRule = "must be 1 to 63 letters, digits, dots, dashes or underscores, the first a letter or digit";
    private const string OpenRule = "is for other machines too: give api-key-file, or let anybody who reaches it ask with insecure: true";
    private const string PlainRule = "is not on this machine: give certificates with tls (made by `distributed certs`), "
        + "or allow plain text that anybody on the way can read and change with insecure: true";
    private const string SiloRule = "is not on this machine: coordinators speak to each other there with certificates (tls), or in plain text with insecure: true";
    private const string DeviceRule = "must be cpu, cuda:N, opencl:N or ilgpu-cpu";

    /// <summary>Whether a worker may have such a name.</summary>
    public static bool IsWorkerName(string name) => WorkerName().IsMatch(name);

    /// <summary>What can be judged without the model and the workers.</summary>
    /// <returns>Every error; empty when all is well.</returns>
    public static IReadOnlyList<InputError> Check(ClusterConfig config)
    {
        List<InputError> errors = [];
        if (config.Model.Length == 0 || config.Model.Contains('\0'))
            errors.Add(config.Error("model", config.Model, "must be the path of a model file"));
        CheckRange("context", config.Context ?? 1, 1, MaxContext);
        CheckRange("max-batch-tokens", config.MaxBatchTokens, 1, StageSpec.LargestBatch);
        CheckRange("sequences", config.Sequences, 1, 1024);
        CheckRange("plan-for", config.PlanFor, 1, Math.Max(1, config.Sequences));
        CheckRange("max-waiting", config.MaxWaiting, 0, 1 << 20);
        // Below, a pause of the runtime would pass for a death.
        if (config.FailureTimeout < TimeSpan.FromMilliseconds(100))
            errors.Add(config.Error("failure-timeout", $"{config.FailureTimeout.TotalMilliseconds} ms", "must be at least 100ms"));
        if (config.Lease < TimeSpan.FromSeconds(1) || config.Lease > TimeSpan.FromHours(24))
            errors.Add(config.Error("lease", $"{config.Lease.TotalSeconds} s", "must lie between 1s and 24h"));
        if (config.State is { Provider: StateProvider.PostgreSql, Connection: null })
            errors.Add(config.Error("state.connection", null, "is missing: PostgreSQL is reached by a connection string"));
        // Without the value: a connection string may have a password.
        if (config.State is { Provider: StateProvider.Memory, Connection: not null })
            errors.Add(config.Error("state.connection", null, "means nothing to state in memory"));
        if (config.State.Connection?.Contains('\0') == true)
            errors.Add(config.Error("state.connection", null, "must not have characters of no text"));
        errors.AddRange(CheckCoordinators(config));
        if (config.Http.SocketPath is not null)
            errors.Add(config.Error("http", config.Http, "must be HOST:PORT"));
        else if (config is { ApiKeyFile: null, Insecure: false } && !config.Http.IsThisMachine)
            errors.Add(config.Error("http", config.Http, OpenRule));
        if (config.HttpCertificate is null != config.HttpKey is null)
            errors.Add(config.Error(config.HttpKey is null ? "http-key" : "http-certificate", null, "is missing: a certificate and its key go together"));
        CheckRange("max-prompt", config.MaxPrompt ?? 1, 1, MaxContext);
        CheckRange("max-requests", config.MaxRequests, 1, 1 << 16);
        if (config.MaxBody > MostBody)
            errors.Add(config.Error("max-body", ByteSize.Format(config.MaxBody), $"must be at most {ByteSize.Format(MostBody)}"));
        if (config.HeaderTimeout < TimeSpan.FromMilliseconds(100))
            errors.Add(config.Error("header-timeout", $"{config.HeaderTimeout.TotalMilliseconds} ms", "must be at least 100ms"));
        if (config is { Tls: not null, Insecure: true })
            errors.Add(config.Error("insecure", "true", "cannot stand beside tls, which leaves nothing in plain text"));
        if (config.Workers.Count is < 1 or > MaxWorkers)
            errors.Add(config.Error("workers", $"{config.Workers.Count} workers", $"must be 1 to {MaxWorkers} workers"));

        for (var i = 0; i < Math.Min(config.Workers.Count, MaxWorkers); i++)
            errors.AddRange(CheckWorker(config, i));
        if (config.Split is not null)
            errors.AddRange(CheckSplit(config, config.Split));
        errors.AddRange(CheckPins(config));
        errors.AddRange(CheckExclusions(config));
        return errors;

        void CheckRange(string key, int value, int min, int max)
        {
            if (value < min || value > max)
                errors.Add(config.Error(key, value, $"must lie between {min} and {max}"));
        }
    }

    /// <summary>What takes the model to judge: the context, the KV cache, the batch and the layers.</summary>
    /// <returns>Every error; empty when all is well.</returns>
    public static IReadOnlyList<InputError> Check(ClusterConfig config, ModelConfig model)
    {
        List<InputError> errors = [];
        if (config.Context > model.ContextLength)
        {
            var rule = $"must be at most {model.ContextLength}, the context {model.Name} was trained for";
            errors.Add(config.Error("context", config.Context, rule));
        }

        if (config.KvType.Error(model.HeadDim) is { } kv)
            errors.Add(config.Error(kv.Key, kv.Value, kv.Rule));
        if (config.Wire.Error(model.HiddenSize) is { } wire)
            errors.Add(config.Error(wire.Key, wire.Value, wire.Rule));
        errors.AddRange(CheckBatch(config, model));

        var tooHigh = false;
        foreach (var (i, stage) in (config.Split ?? []).Index().Where(pair => pair.Item.Layers.End > model.NumLayers))
        {
            tooHigh = true;
            var rule = $"must end at {model.NumLayers - 1}, the last of {model.Name}'s {model.NumLayers} layers";
            errors.Add(config.Error($"split[{i}].layers", stage.Layers, rule));
        }

        foreach (var (i, pin) in config.Pin.Index().Where(pair => pair.Item.Layers.End > model.NumLayers))
        {
            var rule = $"must end at {model.NumLayers - 1}, the last of {model.Name}'s {model.NumLayers} layers";
            errors.Add(config.Error($"pin[{i}].layers", pin.Layers, rule));
        }

        if (config.Split is { Count: > 0 } split && !tooHigh && split.Max(stage => stage.Layers.End) is var end && end < model.NumLayers)
            errors.Add(config.Error("split", null, $"leaves out {Layers(end, model.NumLayers)} of {model.Name}'s {model.NumLayers}"));
        return errors;
    }

    private static IEnumerable<InputError> CheckBatch(ClusterConfig config, ModelConfig model)
    {
        var tokenBytes = (long)model.HiddenSize * sizeof(float);
        if (config.MaxBatchTokens * tokenBytes > MaxHiddenBytes)
        {
            var rule = $"must be at most {MaxHiddenBytes / tokenBytes}: "
                + $"a token's hidden state takes {tokenBytes} bytes, and those of a step must fit {MaxHiddenBytes}";
            yield return config.Error("max-batch-tokens", config.MaxBatchTokens, rule);
        }
        else if (config.MaxBatchTokens > StageBuffers.MaxTokens(model))
        {
            yield return config.Error("max-batch-tokens", config.MaxBatchTokens, $"must be at most {StageBuffers.MaxTokens(model)} with {model.Name}");
        }
    }

    private static IEnumerable<InputError> CheckWorker(ClusterConfig config, int index)
    {
        var worker = config.Workers[index];
        var key = $"workers[{index}]";
        var before = config.Workers.Take(index).ToList();
        if (!WorkerName().IsMatch(worker.Name))
            yield return config.Error($"{key}.name", worker.Name, WorkerNameRule);
        else if (before.FindIndex(other => other.Name == worker.Name) is >= 0 and var same)
            yield return config.Error($"{key}.name", worker.Name, $"is already that of workers[{same}]: names must differ");

        if (worker.Address.Host is "0.0.0.0" or "::")
            yield return config.Error($"{key}.address", worker.Address, "must be an address that other machines can connect to");
        else if (worker.Address is { SocketPath: null, Port: 0 })
            yield return config.Error($"{key}.address", worker.Address, "must have a port from 1 to 65535");
        else if (before.FindIndex(other => IsSame(other.Address, worker.Address)) is >= 0 and var same)
            yield return config.Error($"{key}.address", worker.Address, $"is already that of workers[{same}]: addresses must differ");

        else if (config is { Tls: null, Insecure: false } && !worker.Address.IsThisMachine)
            yield return config.Error($"{key}.address", worker.Address, PlainRule);

        if (worker.Model is "" || worker.Model?.Contains('\0') == true)
            yield return config.Error($"{key}.model", worker.Model, "must be the path of a model file on that worker");
        if (worker.Devices is { Count: 0 })
            yield return config.Error($"{key}.devices", "[]", "must name a device; without the key, all that the worker offers are used");
        foreach (var (i, device) in (worker.Devices ?? []).Index())
        {
            if (!DeviceName().IsMatch(device))
                yield return config.Error($"{key}.devices[{i}]", device, DeviceRule);
            else if (worker.Devices!.Take(i).Contains(device))
                yield return config.Error($"{key}.devices[{i}]", device, "is given twice");
        }

        var devices = NearestName.List(worker.Devices ?? []);
        foreach (var (device, bytes) in worker.Memory)
        {
            if (worker.Devices?.Contains(device) == false)
                yield return config.Error($"{key}.memory.{device}", null, $"is none of the worker's devices: {devices}");
            else if (!DeviceName().IsMatch(device))
                yield return config.Error($"{key}.memory.{device}", null, DeviceRule);
            else if (bytes <= 0)
                yield return config.Error($"{key}.memory.{device}", bytes, "must be above 0");
        }
    }

    // What concerns more than one coordinator.
    private static IEnumerable<InputError> CheckCoordinators(ClusterConfig config)
    {
        var state = config.State;
        if (!IsWorkerName(state.Cluster))
            yield return config.Error("state.cluster", state.Cluster, WorkerNameRule);
        if (state.Silo is { } silo && state.Provider != StateProvider.PostgreSql)
            yield return config.Error("state.silo", silo, "is for several coordinators, which takes provider: postgresql");
        else if (state.Silo?.SocketPath is not null)
            yield return config.Error("state.silo", state.Silo, "must be HOST or HOST:PORT");
        else if (state.Silo is { IsThisMachine: false } && !config.Insecure && config.Tls is null)
            yield return config.Error("state.silo", state.Silo, SiloRule);
    }

    private static IEnumerable<InputError> CheckSplit(ClusterConfig config, IReadOnlyList<SplitConfig> split)
    {
        if (split.Count == 0)
            yield return config.Error("split", "[]", "must be auto, all or have at least one stage");
        foreach (var error in CheckPlaces(config, split, "split"))
            yield return error;
        var end = 0;
        var readAll = split.All(stage => IsRange(stage.Layers));
        foreach (var (i, stage) in split.Index().Where(pair => IsRange(pair.Item.Layers)).OrderBy(pair => pair.Item.Layers.First))
        {
            var rule = stage.Layers.First > end && readAll ? $"leaves out {Layers(end, stage.Layers.First)} before it"
                : stage.Layers.First < end ? $"overlaps another stage in {Layers(stage.Layers.First, Math.Min(end, stage.Layers.End))}"
                : null;
            if (rule is not null)
                yield return config.Error($"split[{i}].layers", stage.Layers, rule);
            end = Math.Max(end, stage.Layers.End);
        }
    }

    private static IEnumerable<InputError> CheckPins(ClusterConfig config)
    {
        if (config.Pin.Count > 0 && (config.Split is not null || config.SplitOverAll))
            yield return config.Error("pin", string.Join(", ", config.Pin), "needs split: auto, which it limits");
        foreach (var error in CheckPlaces(config, config.Pin, "pin"))
            yield return error;
        SplitConfig? before = null;
        foreach (var (i, pin) in config.Pin.Index().Where(pair => IsRange(pair.Item.Layers)).OrderBy(pair => pair.Item.Layers.First))
        {
            if (before is not null && pin.Layers.First < before.Layers.End)
            {
                var shared = Layers(pin.Layers.First, Math.Min(before.Layers.End, pin.Layers.End));
                yield return config.Error($"pin[{i}].layers", pin.Layers, $"overlaps another pin in {shared}");
            }

            if (before is null || pin.Layers.End > before.Layers.End)
                before = pin;
        }
    }

    private static IEnumerable<InputError> CheckExclusions(ClusterConfig config)
    {
        var knowsAll = config.Workers.All(worker => worker.Name.Length > 0);
        foreach (var (i, name) in config.Exclude.Index())
        {
            var (worker, device) = name.Split('/', 2) is [var left, var right] ? (left, right) : (name, null);
            var known = config.Workers.FirstOrDefault(candidate => candidate.Name == worker);
            if (known is null && knowsAll)
            {
                var suggestion = NearestName.Suggest(worker, config.Workers.Select(candidate => candidate.Name).ToList());
                yield return config.Error($"exclude[{i}]", name, $"is no worker of this cluster{suggestion}");
            }
            else if (device is not null && !DeviceName().IsMatch(device))
            {
                yield return config.Error($"exclude[{i}]", name, DeviceRule);
            }
            else if (device is not null && known?.Devices?.Contains(device) == false)
            {
                yield return config.Error($"exclude[{i}]", name, $"is not a device of {worker}, which has {NearestName.List(known.Devices)}");
            }
        }

        foreach (var (key, places) in new[] { ("split", config.Split ?? []), ("pin", config.Pin) })
            foreach (var (i, place) in places.Index())
                if (config.Exclude.Contains(place.Worker) || (place.Device is { } device && config.Excludes(place.Worker, device)))
                    yield return config.Error($"{key}[{i}].worker", place.Worker, "is excluded by exclude");
        if (config.Workers.Count > 0 && config.Workers.All(worker => config.Exclude.Contains(worker.Name)))
            yield return config.Error("exclude", string.Join(", ", config.Exclude), "leaves no worker");
    }

    // Workers and devices that stages or pins name, and the form of their layers.
    private static IEnumerable<InputError> CheckPlaces(ClusterConfig config, IReadOnlyList<SplitConfig> split, string list)
    {
        var knowsAll = config.Workers.Count > 0 && config.Workers.All(worker => worker.Name.Length > 0);
        var names = config.Workers.Select(worker => worker.Name).ToList();
        foreach (var (i, stage) in split.Index())
        {
            var key = $"{list}[{i}]";
            var worker = config.Workers.FirstOrDefault(worker => worker.Name == stage.Worker);
            if (worker is null && !knowsAll)
                continue;
            var devices = NearestName.List(worker?.Devices ?? []);
            var suggestion = worker is null ? NearestName.Suggest(stage.Worker, names) : "";
            if (worker is null)
                yield return config.Error($"{key}.worker", stage.Worker, $"is no worker of this cluster{suggestion}");
            else if (stage.Device is null && worker.Devices is { Count: > 1 })
                yield return config.Error($"{key}.device", null, $"is missing: {worker.Name} has {devices}");
            else if (stage.Device is not null && worker.Devices?.Contains(stage.Device) == false)
                yield return config.Error($"{key}.device", stage.Device, $"is not a device of {worker.Name}, which has {devices}");
            else if (stage.Device is not null && !DeviceName().IsMatch(stage.Device))
                yield return config.Error($"{key}.device", stage.Device, DeviceRule);
        }

        foreach (var (i, stage) in split.Index().Where(pair => !IsRange(pair.Item.Layers)))
            yield return config.Error($"{list}[{i}].layers", stage.Layers, LayerRange.Rule);
    }

    private static bool IsRange(LayerRange layers) => layers.First >= 0 && layers.First <= layers.Last;

    private static bool IsSame(NodeAddress a, NodeAddress b) => string.Equals($"{a}", $"{b}", StringComparison.OrdinalIgnoreCase);

    private static string Layers(int first, int end) => end - first == 1 ? $"layer {first}" : $"layers {new LayerRange(first, end - 1)}";

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\z")]
    private static partial Regex WorkerName();

    [GeneratedRegex(@"^(cpu|ilgpu-cpu|(cuda|opencl):[0-9]{1,3})\z")]
    private static partial Regex DeviceName();
}
