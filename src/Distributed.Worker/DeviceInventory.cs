using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Cpu;
using Distributed.Engine;
using Distributed.Gpu;

namespace Distributed.Worker;

/// <summary>The devices a worker offers, as its options name them.</summary>
public sealed class DeviceInventory
{
    // The table of device kinds: how one is opened, by what stands before the colon in its name.
    private static readonly Dictionary<string, Func<string, WorkerOptions, Device>> Kinds = new()
    {
        ["cpu"] = OpenCpu,
    };

    private readonly Dictionary<string, Device> _devices = [];

    /// <summary>Opens the devices.</summary>
    /// <exception cref="InvalidInputException">An option names a device that is not there; all such errors at once.</exception>
    public DeviceInventory(WorkerOptions options)
    {
        var errors = new List<InputError>();
        if (options.Devices.Count == 0)
            errors.Add(new InputError("--devices", "", $"must name at least one of {string.Join(", ", Kinds.Keys)}"));
        foreach (var name in options.Devices)
        {
            if (_devices.ContainsKey(name))
                errors.Add(new InputError("--devices", name, "is named twice"));
            else if (!Kinds.TryGetValue(name.Split(':')[0], out var open) || (name.Contains(':') && name.StartsWith("cpu", StringComparison.Ordinal)))
                errors.Add(new InputError("--devices", name, $"must be {string.Join(" or ", Kinds.Keys)} in this version{Cards()}"));
            else
                _devices[name] = open(name, options);
        }

        foreach (var (name, bytes) in options.Memory)
        {
            if (!options.Devices.Contains(name))
                errors.Add(new InputError("--memory", name, $"must be one of the worker's devices: {string.Join(", ", options.Devices)}"));
            else if (bytes <= 0)
                errors.Add(new InputError("--memory", $"{name}={bytes}", "must be above 0"));
        }

        if (errors.Count > 0)
            throw new InvalidInputException(errors);
    }

    /// <summary>All devices, in the order configured.</summary>
    public IReadOnlyCollection<Device> All => _devices.Values;

    /// <summary>The device of that name.</summary>
    /// <exception cref="StageFailureException">There is none; the message lists those there are.</exception>
    public Device Find(string name, string worker, int stage) =>
        _devices.TryGetValue(name, out var device)
            ? device
            : throw new StageFailureException(
                FailureCode.UnknownDevice, $"there is no device {name} here, only {string.Join(", ", _devices.Keys)}", worker, stage);

    private static string Cards()
    {
        var cards = GpuDevices.Find();
        return cards.Count == 0
            ? "; no graphics card is found here"
            : $"; found here but not used yet: {string.Join(", ", cards.Select(card => $"{card.Name} ({card.Hardware}, {ByteSize.Format(card.MemoryBytes)})"))}";
    }

    private static Device OpenCpu(string name, WorkerOptions options) => new(
        name,
        HostMachine.ProcessorName,
        options.Memory.TryGetValue(name, out var limit) ? limit : HostMachine.UsableMemory(),
        options.Threads,
        () => new CpuBackend(options.Threads),
        $"{Processor.Instructions} {CodeOf(typeof(Backend))} {CodeOf(typeof(CpuBackend))} {CodeOf(typeof(Stage))} {CodeOf(typeof(DeviceInventory))}");

    // Each build has an id of its own, the same for the same code.
    private static Guid CodeOf(Type type) => type.Module.ModuleVersionId;
}
