using Distributed.Cluster;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>Which stage has which layers, where, and what memory that is forecast to take.</summary>
/// <param name="Stages">The stages in the order of their layers; together they hold every layer once.</param>
/// <param name="Context">The longest sequence, in tokens.</param>
/// <param name="Unused">Devices of the cluster that hold nothing, each with the reason.</param>
public sealed record Placement(IReadOnlyList<StagePlacement> Stages, int Context, IReadOnlyList<UnusedDevice> Unused);

/// <summary>One stage of a placement.</summary>
/// <param name="Index">Its place in the pipeline, from 0.</param>
/// <param name="Worker">The worker's name in the cluster file.</param>
/// <param name="Address">Where the worker listens.</param>
/// <param name="Device">The device on that worker, e.g. <c>cpu</c>.</param>
/// <param name="ModelPath">The model file as that worker is to open it.</param>
/// <param name="Spec">The layers and the room the stage keeps.</param>
/// <param name="Memory">The forecast, in bytes.</param>
/// <param name="Free">What stages may still take of the device before this one loads, in bytes.</param>
public sealed record StagePlacement(
    int Index, string Worker, NodeAddress Address, string Device, string ModelPath, StageSpec Spec, StageMemory Memory, long Free)
{
    /// <summary>What stages may still take of the device once this one is loaded, in bytes.</summary>
    public long FreeAfter => Free - Memory.Total;
}

/// <summary>A device that a placement leaves out.</summary>
/// <param name="Worker">The worker's name in the cluster file.</param>
/// <param name="Device">The device; null for the whole worker.</param>
/// <param name="Reason">Why, as a sentence without its full stop.</param>
public sealed record UnusedDevice(string Worker, string? Device, string Reason);
