using Distributed.Cpu;
using Distributed.Gpu;

namespace Distributed.Worker;

/// <summary>A device of this machine, as a list of them shows it.</summary>
/// <param name="Name">What <c>--devices</c> calls it.</param>
/// <param name="Hardware">The processor's or card's own name.</param>
/// <param name="Capability">The compute capability; null where there is no such number.</param>
/// <param name="Memory">All of its memory, bytes.</param>
/// <param name="Free">What nobody has taken of it, bytes; null where no driver says.</param>
/// <param name="Problem">Why it cannot be used; null where it can.</param>
public sealed record ListedDevice(string Name, string Hardware, string? Capability, long Memory, long? Free, string? Problem)
{
    /// <summary>The processor, and all cards; each is opened to see whether it can be used.</summary>
    public static IReadOnlyList<ListedDevice> All()
    {
        var processor = new ListedDevice(
            DeviceInventory.Cpu, $"{HostMachine.ProcessorName}, {Processor.Instructions}", null,
            GC.GetGCMemoryInfo().TotalAvailableMemoryBytes, HostMachine.AvailableMemory(), null);
        return [processor, .. GpuDevices.Find().Select(OfCard)];
    }

    private static ListedDevice OfCard(GpuDevice card)
    {
        var problem = GpuDevices.WhyMissing(card.Name);
        var free = problem is null ? GpuDevices.Open(card.Name).FreeMemory : null;
        return new ListedDevice(card.Name, card.Hardware, card.Capability, card.MemoryBytes, free, problem);
    }
}
