using Distributed.Cluster;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>Which stage has which layers, where, and what memory that is forecast to take.</summary>
/// <param name="Stages">The stages in the order of their layers; together they hold every layer once.</param>
/// <param name="Context">The longest sequence, in tokens.</param>
/// <param name="Unused">Devices of the cluster that hold nothing, each with the reason.</param>
public sealed record Placement(IReadOnlyList<StagePlacement> Stages, int Context, IReadOnlyList<UnusedDevice> Unused)
{
    /// <summary>What it is predicted to take; null where a device of it has no profile, or a link of it does not work.</summary>
    public PlacementCosts? Costs { get; init; }

    /// <summary>The links that were measured for it, and those that do not work.</summary>
    public LinkTable Links { get; init; } = new();

    /// <summary>How the planner came to it.</summary>
    public PlanChoice Choice { get; init; } = PlanChoice.Given;
}

/// <summary>How a placement was chosen.</summary>
/// <param name="Rule">In words: <c>fewest ms per token for 1 sequence</c>.</param>
/// <param name="NextBest">The best placement on other devices, and why it lost; null where none fits, or none was looked for.</param>
/// <param name="Note">
/// What else is to be said: how far it may be from the best there is, why speeds did not count, links that do not work; null for nothing.
/// </param>
public sealed record PlanChoice(string Rule, string? NextBest = null, string? Note = null)
{
    /// <summary>The config says where every layer goes.</summary>
    public static PlanChoice Given { get; } = new("as the cluster file says");

    /// <summary>All devices are used, as evenly as memory lets them.</summary>
    public static PlanChoice ByMemory { get; } = new("all devices, in proportion to free memory");
}

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
