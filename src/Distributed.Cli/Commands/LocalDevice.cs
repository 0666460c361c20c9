using System.CommandLine;
using Distributed.Core;
using Distributed.Gpu;
using Distributed.Worker;

namespace Distributed.Cli.Commands;

/// <summary>The device that <c>--device</c> names, for this process and for the workers that it starts.</summary>
internal static class LocalDevice
{
    /// <summary>Its name.</summary>
    public static string NameIn(ParseResult flags) => flags.GetValue(CommonOptions.Device) ?? DeviceInventory.Cpu;

    /// <summary>Opens it.</summary>
    /// <param name="flags">A verb's flags.</param>
    /// <exception cref="InvalidInputException">This machine does not have it; the error says what it has.</exception>
    public static Device Open(ParseResult flags) => Open(NameIn(flags), flags.GetValue(CommonOptions.Threads) ?? Environment.ProcessorCount);

    /// <summary>Opens a device.</summary>
    /// <param name="name">Its name, one that <see cref="DeviceInventory.IsName"/> knows.</param>
    /// <param name="threads">Threads of a processor.</param>
    /// <exception cref="InvalidInputException">This machine does not have it; the error says what it has.</exception>
    public static Device Open(string name, int threads)
    {
        try
        {
            return new DeviceInventory(new WorkerOptions { Devices = [name], Threads = threads }).All.Single();
        }
        catch (InvalidInputException)
        {
            var cards = GpuDevices.Find().Where(card => card.Name != name).Select(card => $"{card.Name} ({card.Hardware}, {ByteSize.Format(card.MemoryBytes)})");
            string[] names = [DeviceInventory.Cpu, .. cards, GpuDevices.CpuName];
            var why = GpuDevices.WhyMissing(name) is { } reason ? $"; {reason}" : "";
            throw new InvalidInputException(CommonOptions.Device.Name, name, $"must be one of {string.Join(", ", names)}{why}");
        }
    }
}
