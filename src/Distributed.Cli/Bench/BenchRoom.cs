using Distributed.Cli.Output;
using Distributed.Core;
using Distributed.Worker;

namespace Distributed.Cli.Bench;

/// <summary>Whether a bench fits into the memory that is free, asked before anything is made or loaded.</summary>
internal static class BenchRoom
{
    /// <summary>The rule that is broken, with the numbers; null when it fits.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="weights">Bytes of all weights.</param>
    /// <param name="options">The tests; null when weights are made and nothing else.</param>
    /// <param name="device">What computes; null like the tests.</param>
    /// <exception cref="InvalidInputException">The tests do not go with the model.</exception>
    public static string? Error(ModelConfig config, long weights, BenchOptions? options, Device? device)
    {
        var free = HostMachine.UsableMemory();
        if (options is null || device is null)
            return weights <= free ? null : $"needs {Units.Bytes(weights)}, but {Units.Bytes(free)} of memory are free for it";
        var spec = options.Stage(config);
        var buffers = StageBuffers.For(config, spec);
        var (kv, scratch) = (StageMemoryForecast.KvBytes(config, spec), buffers.Bytes + buffers.InputScratchBytes);
        var meter = LimitMeter.BytesFor(device);
        var needed = weights + kv + scratch + meter;
        if (device.Name != DeviceInventory.Cpu)
        {
            if (weights > free)
                return $"needs {Units.Bytes(weights)} before it is on {device.Name}, but {Units.Bytes(free)} of memory are free for it";
            free = device.MemoryLimit;
        }
        var where = device.Name == DeviceInventory.Cpu ? "memory" : $"the memory of {device.Name}";
        return needed <= free
            ? null
            : $"needs {Units.Bytes(needed)} (weights {Units.Bytes(weights)}, KV cache {Units.Bytes(kv)}, scratch {Units.Bytes(scratch)}, "
                + $"to measure bandwidth {Units.Bytes(meter)}), but {Units.Bytes(free)} of {where} are free for it";
    }
}
