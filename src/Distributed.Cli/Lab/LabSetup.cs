using Distributed.Cli.Bench;
using Distributed.Cluster.Protocol;

namespace Distributed.Cli.Lab;

/// <summary>What an experiment was made with: enough to make it again, and to see why it came out otherwise.</summary>
/// <param name="Experiment">E.g. <c>split</c>.</param>
/// <param name="Arguments">The command line, without the program's name.</param>
/// <param name="Model">The model.</param>
/// <param name="Devices">What computed.</param>
/// <param name="Settings">The experiment's own settings, defaults included.</param>
internal sealed record LabSetup<T>(
    string Experiment, IReadOnlyList<string> Arguments, LabModel Model, IReadOnlyList<LabDevice> Devices, T Settings)
{
    /// <summary>The version of the program.</summary>
    public string Version { get; } = typeof(LabFolder).Assembly.GetName().Version?.ToString(3) ?? "";

    /// <summary>When it began.</summary>
    public DateTimeOffset Date { get; } = DateTimeOffset.Now;

    /// <summary>Where the command ran.</summary>
    public Machine Machine { get; } = Machine.This;
}

/// <summary>A model as it is on record.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Path">Its file; of random weights, what was asked for.</param>
/// <param name="Hash">The hash that workers compare, hexadecimal.</param>
/// <param name="Type">The format of most of its weights.</param>
/// <param name="Layers">Its layers.</param>
/// <param name="Bytes">Bytes of all weights.</param>
internal sealed record LabModel(string Name, string Path, string Hash, string Type, int Layers, long Bytes)
{
    /// <summary>The record of a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="path">What stands for its file.</param>
    public static LabModel Of(BenchModel model, string path) => new(
        model.Model.Config.Name, path, Convert.ToHexStringLower(model.Model.Hash), model.Type, model.Model.Config.NumLayers,
        model.Model.Bytes);
}

/// <summary>A device as it is on record.</summary>
/// <param name="Role">What the experiment calls it, e.g. <c>a</c>.</param>
/// <param name="Worker">The worker's name in the cluster.</param>
/// <param name="Address">Where the worker listens.</param>
/// <param name="Device">The device's name.</param>
/// <param name="Hardware">The processor's or the card's own name.</param>
/// <param name="Threads">Threads that compute.</param>
/// <param name="MemoryLimit">What stages may take, in bytes.</param>
internal sealed record LabDevice(
    string Role, string Worker, string Address, string Device, string Hardware, int Threads, long MemoryLimit)
{
    /// <summary>The record of a device.</summary>
    public static LabDevice Of(string role, Distributed.Cluster.Config.WorkerConfig worker, DeviceDescription device) => new(
        role, worker.Name, worker.Address.ToString(), device.Name, device.Hardware, device.Threads, device.MemoryLimit);
}
