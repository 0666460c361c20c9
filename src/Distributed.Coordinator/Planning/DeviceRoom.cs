using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>A device that stages can be placed on.</summary>
/// <param name="Worker">The worker, as the cluster file has it.</param>
/// <param name="Device">The device's name.</param>
/// <param name="Free">
/// What stages may take of its memory, in bytes: the lower of the worker's own limit and the cluster file's, less what is taken.
/// </param>
internal sealed record DeviceRoom(WorkerConfig Worker, string Device, long Free)
{
    /// <summary>What the device can do; null where that is not known.</summary>
    public DeviceProfile? Profile { get; init; }

    /// <summary>The name of the machine; the worker's where it does not tell.</summary>
    public string Machine { get; init; } = Worker.Name;

    /// <summary>Threads that the machine runs at once; 0 where it does not tell.</summary>
    public int Cores { get; init; }

    public override string ToString() => $"{Worker.Name}/{Device}";

    /// <summary>The devices of a cluster, worker after worker; workers that are not described have none.</summary>
    /// <param name="config">The cluster.</param>
    /// <param name="workers">What the workers say of themselves, by the name that the cluster file gives them.</param>
    /// <param name="errors">Where devices go that the cluster file names and the worker does not have.</param>
    public static IReadOnlyList<DeviceRoom> Of(
        ClusterConfig config, IReadOnlyDictionary<string, WorkerDescription> workers, List<InputError> errors)
    {
        List<DeviceRoom> rooms = [];
        foreach (var (i, worker) in config.Workers.Index())
        {
            if (!workers.TryGetValue(worker.Name, out var description))
                continue;
            var offered = description.Devices.Select(device => device.Name).ToList();
            var rule = $"is not a device of the running worker, which has {(offered.Count > 0 ? string.Join(", ", offered) : "none")}";
            foreach (var device in worker.Memory.Keys.Except(offered).Except(worker.Devices ?? []))
                errors.Add(config.Error($"workers[{i}].memory.{device}", null, rule));
            foreach (var (j, name) in (worker.Devices ?? offered.Distinct()).Index())
            {
                if (description.Devices.FirstOrDefault(device => device.Name == name) is not { } device)
                    errors.Add(config.Error($"workers[{i}].devices[{j}]", name, rule));
                else if (!config.Excludes(worker.Name, name))
                    rooms.Add(new DeviceRoom(worker, name, FreeOf(device, worker.Memory.GetValueOrDefault(name, long.MaxValue)))
                    {
                        Profile = device.Profile,
                        Machine = description.Machine is { Length: > 0 } machine ? machine : worker.Name,
                        Cores = description.Cores,
                    });
            }
        }

        return rooms;
    }

    /// <summary>Devices that a placement cannot use, and workers without any, each with the reason.</summary>
    public static IEnumerable<UnusedDevice> Missing(ClusterConfig config, IReadOnlyDictionary<string, WorkerDescription> workers)
    {
        foreach (var worker in config.Workers)
        {
            List<string> names = [.. workers.GetValueOrDefault(worker.Name)?.Devices.Select(device => device.Name) ?? []];
            var usable = names.Where(name => worker.Devices?.Contains(name) != false).Distinct().ToList();
            var excluded = usable.Where(name => config.Excludes(worker.Name, name)).ToList();
            if (excluded.Count == usable.Count)
                yield return new UnusedDevice(worker.Name, null, WhyNone(config, worker.Name, workers));
            else
                foreach (var name in excluded)
                    yield return new UnusedDevice(worker.Name, name, "is excluded");
        }
    }

    /// <summary>Why a worker has no device to use.</summary>
    public static string WhyNone(ClusterConfig config, string worker, IReadOnlyDictionary<string, WorkerDescription> workers) =>
        config.Exclude.Contains(worker) ? "is excluded"
        : !workers.TryGetValue(worker, out var description) ? "has not answered"
        : description.Devices.Any(device => config.Excludes(worker, device.Name)) ? "has no device that is not excluded"
        : "has answered, but has no device to use";

    // A worker's numbers come from outside: whatever they are, the result is 0 or more.
    private static long FreeOf(DeviceDescription device, long limit) =>
        Math.Max(0, Math.Min(Math.Max(0, device.MemoryLimit), limit) - Math.Max(0, device.MemoryUsed));
}
