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
    // The table of device kinds: how one is opened, by its name or what stands before the colon in it.
    private static readonly Dictionary<string, (bool IsNumbered, Func<string, WorkerOptions, Device> Open)> Kinds = new()
    {
        [Cpu] = (false, OpenCpu),
        ["cuda"] = (true, OpenGpu),
        ["opencl"] = (true, OpenGpu),
        [GpuDevices.CpuName] = (false, OpenGpu),
    };

    /// <summary>The name of the machine's processor.</summary>
    public const string Cpu = "cpu";

    private readonly Dictionary<string, Device> _devices = [];
    private readonly List<InputError> _missing = [];

    /// <summary>Opens the devices; those that the machine cannot use are left out when there are others.</summary>
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
            else if (!IsName(name))
                errors.Add(new InputError("--devices", name, $"must be one of {Names}"));
            else
                Add(name, Kinds[name.Split(':')[0]].Open, options, errors);
        }

        if (_devices.Count == 0 && errors.Count == 0)
            errors.AddRange(_missing);

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

    /// <summary>Which devices that were asked for are left out, each with the reason: a driver that is not there, a card that is full.</summary>
    public IEnumerable<string> Missing => _missing.Select(missing => $"{missing.Value} is left out: {missing.Rule}");

    /// <summary>All devices, in the order configured.</summary>
    public IReadOnlyCollection<Device> All => _devices.Values;

    /// <summary>The device of that name.</summary>
    /// <exception cref="StageFailureException">There is none; the message lists those there are.</exception>
    public Device Find(string name, string worker, int stage) =>
        _devices.TryGetValue(name, out var device)
            ? device
            : throw new StageFailureException(
                FailureCode.UnknownDevice, $"there is no device {name} here, only {string.Join(", ", _devices.Keys)}", worker, stage);

    /// <summary>Whether devices have such names; there need not be that device.</summary>
    public static bool IsName(string name) =>
        name.Split(':') is var parts && Kinds.TryGetValue(parts[0], out var row)
        && (row.IsNumbered ? parts.Length == 2 && parts[1].Length is > 0 and < 4 && parts[1].All(char.IsAsciiDigit) : parts.Length == 1);

    /// <summary>The names there are, with N for a number.</summary>
    public static string Names => string.Join(", ", Kinds.Select(kind => kind.Value.IsNumbered ? $"{kind.Key}:N" : kind.Key));

    // A machine without the driver of a kind, or whose card cannot be used now, goes on with its other devices; a number that a kind does not have is a mistake.
    private void Add(string name, Func<string, WorkerOptions, Device> open, WorkerOptions options, List<InputError> errors)
    {
        if (GpuDevices.WhyMissing(name) is { } reason)
        {
            _missing.Add(new InputError("--devices", name, reason));
            return;
        }

        try
        {
            _devices[name] = open(name, options);
        }
        catch (InvalidInputException error)
        {
            errors.AddRange(error.Errors.Select(wrong => wrong with { Key = "--devices" }));
        }
    }

    private static Device OpenCpu(string name, WorkerOptions options) => new(
        name,
        HostMachine.ProcessorName,
        options.Memory.TryGetValue(name, out var limit) ? limit : HostMachine.UsableMemory(),
        options.Threads,
        () => new CpuBackend(options.Threads),
        $"{Processor.Instructions} {CodeOf(typeof(Backend))} {CodeOf(typeof(CpuBackend))} {CodeOf(typeof(Stage))} {CodeOf(typeof(DeviceInventory))}");

    private static Device OpenGpu(string name, WorkerOptions options)
    {
        var card = GpuDevices.Open(name);
        var free = card.FreeMemory ?? (card.MemoryBytes > 0 ? card.MemoryBytes : HostMachine.AvailableMemory());
        return new Device(
            name,
            card.Hardware,
            options.Memory.TryGetValue(name, out var limit) ? limit : HostMachine.UsableOf(free),
            threads: 0,
            () => new GpuBackend(card),
            $"{CodeOf(typeof(Backend))} {CodeOf(typeof(GpuBackend))} {CodeOf(typeof(Stage))} {CodeOf(typeof(DeviceInventory))}",
            isMeasured: name != GpuDevices.CpuName);
    }

    // Each build has an id of its own, the same for the same code.
    private static Guid CodeOf(Type type) => type.Module.ModuleVersionId;
}
