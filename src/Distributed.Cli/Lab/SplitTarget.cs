using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator;
using Distributed.Core;
using Distributed.Worker;

namespace Distributed.Cli.Lab;

/// <summary>A device as a flag names it.</summary>
/// <param name="Flag">The flag, for errors.</param>
/// <param name="Text">What it says, for errors.</param>
/// <param name="Worker">The worker.</param>
/// <param name="Device">The device; null where the worker has only one.</param>
internal sealed record ChosenDevice(string Flag, string Text, WorkerConfig Worker, string? Device);

/// <summary>Which two devices.</summary>
/// <param name="Cluster">The cluster file; null for two worker processes started here, with <c>cpu</c> each.</param>
/// <param name="A">The first device; null without a cluster file.</param>
/// <param name="B">The second one; null without a cluster file.</param>
/// <param name="ThreadsA">Threads of the first worker started here.</param>
/// <param name="ThreadsB">Threads of the second one.</param>
/// <param name="Card">
/// The device that takes the first layers, beside the processor of the one worker started here; null for two workers with their processor.
/// </param>
internal sealed record SplitTargetFlags(
    ClusterConfig? Cluster, ChosenDevice? A, ChosenDevice? B, int ThreadsA, int ThreadsB, Device? Card = null);

/// <summary>The two devices of a split experiment, on workers that run.</summary>
internal sealed class SplitTarget : IAsyncDisposable
{
    private readonly LocalWorkers? _local;

    private SplitTarget(
        ClusterConfig config, ClusterSurvey survey, LabDevice a, LabDevice b, LocalWorkers? local)
    {
        (Config, Survey, A, B) = (config, survey, a, b);
        _local = local;
    }

    /// <summary>The cluster of these two, without a split.</summary>
    public ClusterConfig Config { get; }

    /// <summary>What the workers say of themselves, and the links between them.</summary>
    public ClusterSurvey Survey { get; }

    /// <summary>The device that takes the first layers.</summary>
    public LabDevice A { get; }

    /// <summary>The device that takes the rest.</summary>
    public LabDevice B { get; }

    /// <summary>Starts workers where there is no cluster file, and asks them what they have.</summary>
    /// <param name="flags">Which devices.</param>
    /// <param name="model">The model.</param>
    /// <param name="options">What room they need.</param>
    /// <param name="isMade">The model's file was made for this: no worker has it by another path.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="InvalidInputException">A worker has no such device, or both are the same.</exception>
    /// <exception cref="StageFailureException">A worker does not answer.</exception>
    /// <exception cref="IOException">A worker does not start.</exception>
    public static async Task<SplitTarget> OpenAsync(
        SplitTargetFlags flags, ModelFile model, SplitOptions options, bool isMade, CancellationToken cancellation)
    {
        var local = flags.Cluster is null
            ? await LocalWorkers.StartAsync(
                flags.Card is null ? [flags.ThreadsA, flags.ThreadsB] : [flags.ThreadsA], Memory(flags.Card), null, null, cancellation)
            : null;
        try
        {
            var chosen = local is null ? [flags.A!, flags.B!]
                : flags.Card is null ? local.Workers.Select(worker => Chosen(worker, DeviceInventory.Cpu)).ToArray()
                : [Chosen(local.Workers[0], flags.Card.Name), Chosen(local.Workers[0], DeviceInventory.Cpu)];
            var config = (flags.Cluster ?? new ClusterConfig { Model = model.Path }) with
            {
                Model = model.Path,
                Context = options.Prefill + options.Decode,
                Sequences = 1,
                MaxBatchTokens = options.Batch,
                KvType = options.KvType,
                Wire = options.Wire,
                Link = options.Link,
                Split = null,
                Workers =
                [
                    .. chosen.Select(device => isMade ? device.Worker with { Model = null } : device.Worker)
                        .DistinctBy(worker => worker.Name),
                ],
            };
            var survey = await ClusterSurvey.MakeAsync(model, config, cancellation);
            var (a, b) = (Record("a", chosen[0], survey.Workers), Record("b", chosen[1], survey.Workers));
            return (a.Worker, a.Device) == (b.Worker, b.Device)
                ? throw new InvalidInputException(chosen[1].Flag, chosen[1].Text, $"must be another device than {chosen[0].Flag}")
                : new SplitTarget(config, survey, a, b, local);
        }
        catch
        {
            if (local is not null)
                await local.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _local?.DisposeAsync() ?? ValueTask.CompletedTask;

    private static Dictionary<string, long> Memory(Device? card) => card is null
        ? new() { [DeviceInventory.Cpu] = HostMachine.UsableMemory() / 2 }
        : new() { [card.Name] = card.MemoryLimit, [DeviceInventory.Cpu] = HostMachine.UsableMemory() };

    private static ChosenDevice Chosen(LocalWorker worker, string device) =>
        new("--threads", worker.Name, new WorkerConfig { Name = worker.Name, Address = worker.Address }, device);

    private static LabDevice Record(string role, ChosenDevice chosen, IReadOnlyDictionary<string, WorkerDescription> workers)
    {
        if (!workers.TryGetValue(chosen.Worker.Name, out var description))
            throw new StageFailureException(
                FailureCode.NextUnreachable, "does not answer", $"{chosen.Worker.Name} ({chosen.Worker.Address})");
        var devices = description.Devices.Where(device => chosen.Worker.Devices?.Contains(device.Name) != false).ToList();
        var names = string.Join(", ", devices.Select(device => device.Name));
        if (chosen.Device is null && devices.Count != 1)
            throw new InvalidInputException(chosen.Flag, chosen.Text, $"must name a device, {chosen.Text}/DEVICE; the worker has {names}");
        var device = devices.FirstOrDefault(device => chosen.Device is null || device.Name == chosen.Device)
            ?? throw new InvalidInputException(chosen.Flag, chosen.Text, $"must be a device of {chosen.Worker.Name}, which has {names}");
        return LabDevice.Of(role, chosen.Worker, device);
    }
}
