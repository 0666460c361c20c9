using System.CommandLine;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Coordinator;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Distributed.Worker;

namespace Distributed.Cli.Commands;

/// <summary>The workers a command uses: those of a cluster file, or processes of its own, which end with it.</summary>
internal sealed class ClusterTarget : IAsyncDisposable
{
    private readonly LocalWorkers? _local;

    private ClusterTarget(ClusterConfig config, LocalWorkers? local) => (Config, _local) = (config, local);

    /// <summary>The cluster; its workers are running.</summary>
    public ClusterConfig Config { get; }

    /// <summary>
    /// What the flags ask for, before any worker is started or asked. Without a cluster file the workers have no address yet.
    /// </summary>
    /// <param name="flags">The flags of <see cref="ClusterFlags"/>.</param>
    /// <param name="localWorkers">Worker processes to start where there is no cluster file.</param>
    /// <exception cref="InvalidInputException">The cluster file, the flags or the model file are wrong; everything that is.</exception>
    public static ClusterConfig Configure(ParseResult flags, int localWorkers)
    {
        var config = flags.GetValue(CommonOptions.Cluster) is { } file ? ClusterFile.Load(file, config => ClusterFlags.Door(flags, config))
            : ClusterFlags.Door(flags, LocalConfig(localWorkers));
        config = ClusterFile.Override(config, Overrides(flags));
        // Wrong files are told before anybody is called.
        config.Tls?.Load();
        using var model = ModelFile.Open(config.Model);
        var errors = ClusterValidator.Check(config, model.Config);
        return errors.Count == 0 ? config : throw new InvalidInputException(errors);
    }

    /// <summary>Starts the command's own workers, where it has no cluster file.</summary>
    /// <param name="flags">The flags of <see cref="ClusterFlags"/>.</param>
    /// <param name="config">What <see cref="Configure"/> made of them.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="InvalidInputException">This machine does not have the device asked for.</exception>
    /// <exception cref="IOException">A worker does not start.</exception>
    public static async Task<ClusterTarget> OpenAsync(ParseResult flags, ClusterConfig config, CancellationToken cancellation)
    {
        if (flags.GetValue(CommonOptions.Cluster) is not null)
            return new ClusterTarget(config, null);
        var device = LocalDevice.Open(flags);
        var threads = Enumerable.Repeat(flags.GetValue(CommonOptions.Threads), config.Workers.Count);
        var local = await LocalWorkers.StartAsync(
            [.. threads], new Dictionary<string, long> { [device.Name] = LocalMemory(flags, device, config.Workers.Count) }, null,
            CommonOptions.LogLevelOfWorkers(flags), cancellation);
        var workers = local.Workers.Select(worker => new WorkerConfig { Name = worker.Name, Address = worker.Address });
        // They are reached by their sockets, or over loopback where those cannot be: nobody else is in between.
        return new ClusterTarget(config with { Workers = [.. workers], Tls = null }, local);
    }

    /// <summary>Where the model would lie if the command's own workers were started. They are not; this process measures for them.</summary>
    /// <param name="flags">The flags of <see cref="ClusterFlags"/>.</param>
    /// <param name="config">What <see cref="Configure"/> made of them.</param>
    /// <param name="model">The model.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<Placement> PlanLocalAsync(
        ParseResult flags, ClusterConfig config, ModelFile model, CancellationToken cancellation)
    {
        var device = LocalDevice.Open(flags);
        var options = new WorkerOptions
        {
            Devices = [device.Name],
            Threads = flags.GetValue(CommonOptions.Threads) ?? Environment.ProcessorCount,
            Memory = new Dictionary<string, long> { [device.Name] = LocalMemory(flags, device, config.Workers.Count) },
        };
        var (worker, request, link) = await WorkerHost.MeasureHereAsync(options, ModelUnits.Of(model).Types, config.KvType, config.Link, cancellation);
        var links = new LinkTable();
        if (LinkTimes.Of(request, link) is not { } times)
            throw new StageFailureException(link.Failure);
        foreach (var from in config.Workers.Select(worker => worker.Name).Append(LinkTable.Coordinator))
            foreach (var to in config.Workers.Select(worker => worker.Name).Append(LinkTable.Coordinator).Where(to => to != from))
                links[from, to] = times;
        return ClusterPlan.Make(model, config, config.Workers.ToDictionary(worker => worker.Name, _ => worker), links);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_local is not null)
            await _local.DisposeAsync();
    }

    // One person asks, one answer at a time: room for one sequence is enough.
    private static ClusterConfig LocalConfig(int workers) => new()
    {
        Model = SampleModel.Path,
        Sequences = 1,
        SplitOverAll = true,
        Workers = [.. Enumerable.Range(0, workers).Select(index => new WorkerConfig
        {
            Name = $"worker-{index}",
            Address = NodeAddress.Parse("address", $"unix:/worker-{index}"),
        })],
    };

    private static long LocalMemory(ParseResult flags, Device device, int workers) =>
        CommonOptions.MemoryIn(flags) ?? device.MemoryLimit / workers;

    private static IEnumerable<KeyValuePair<string, string>> Overrides(ParseResult flags)
    {
        if (flags.GetValue(CommonOptions.Model) is { } model)
            yield return new("model", model);
        if (flags.GetValue(CommonOptions.Context) is { } context)
            yield return new("context", $"{context}");
        if (flags.GetValue(CommonOptions.KvType) is { } kvType)
            yield return new("kv-type", kvType.ToName());
        if (flags.GetValue(CommonOptions.Wire) is { } wire)
            yield return new("wire", wire.ToName());
        if (flags.GetValue(CommonOptions.Link) is { } link)
            yield return new("link", $"{link}");
        if (flags.GetValue(CommonOptions.Http) is { } http)
            yield return new("http", $"{http}");
    }
}
