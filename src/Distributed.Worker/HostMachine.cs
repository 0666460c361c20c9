using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Distributed.Cluster.Protocol;
using Distributed.Cpu;

namespace Distributed.Worker;

/// <summary>What the operating system says of the machine.</summary>
public static class HostMachine
{
    /// <summary>The processor's own name, or the architecture's where the system does not tell.</summary>
    public static string ProcessorName { get; } =
        ReadValue("/proc/cpuinfo", "model name") ?? RuntimeInformation.ProcessArchitecture.ToString();

    /// <summary>The most that is kept free, bytes.</summary>
    public const long LargestReserve = 512L << 20;

    /// <summary>More bytes than any cache holds, to measure memory with: three times the last-level cache, from 96 to 512 MiB.</summary>
    public static long BytesBeyondCaches { get; } = Math.Clamp(3 * ProcessorCaches.LastLevelBytes, 96L << 20, 512L << 20);

    /// <summary>Bytes a process can still take without swapping, within the container's limit if there is one.</summary>
    public static long AvailableMemory()
    {
        var memory = GC.GetGCMemoryInfo();
        var withinLimit = memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes;
        // The kernel counts page cache it can drop as available; the runtime's figure does not.
        var kilobytes = ReadValue("/proc/meminfo", "MemAvailable")?.Replace(" kB", "", StringComparison.Ordinal);
        return long.TryParse(kilobytes, NumberStyles.None, CultureInfo.InvariantCulture, out var available)
            ? Math.Min(available * 1024, memory.TotalAvailableMemoryBytes)
            : Math.Max(withinLimit, 0);
    }

    /// <summary>
    /// What stages may take unless told otherwise, bytes: what is free, less a reserve for the program itself and for the system, a
    /// tenth of it but at most <see cref="LargestReserve"/>.
    /// </summary>
    public static long UsableMemory() => UsableOf(AvailableMemory());

    /// <summary>What stages may take of so much free memory: all but the reserve.</summary>
    public static long UsableOf(long free) => free - Math.Min(free / 10, LargestReserve);

    /// <summary>What this process holds.</summary>
    public static ProcessMemory MemoryOfThisProcess()
    {
        using var process = Process.GetCurrentProcess();
        return new ProcessMemory
        {
            Resident = process.WorkingSet64,
            PeakResident = Math.Max(process.PeakWorkingSet64, process.WorkingSet64),
            Managed = GC.GetTotalMemory(forceFullCollection: false),
        };
    }

    private static string? ReadValue(string path, string key)
    {
        if (!File.Exists(path))
            return null;
        foreach (var line in File.ReadLines(path))
        {
            var colon = line.IndexOf(':');
            if (colon > 0 && line.AsSpan(0, colon).Trim().SequenceEqual(key))
                return line[(colon + 1)..].Trim();
        }

        return null;
    }
}
