using System.Globalization;

namespace Distributed.Cpu;

/// <summary>What the operating system says of the processor's caches.</summary>
public static class ProcessorCaches
{
    private const string LastLevel = "/sys/devices/system/cpu/cpu0/cache/index3/size";
    private const long MostBytes = 4L << 30;

    /// <summary>Bytes of the last-level cache, at most 4 GiB; 0 where the system does not tell.</summary>
    public static long LastLevelBytes { get; } = Read();

    private static long Read()
    {
        var text = File.Exists(LastLevel) ? File.ReadAllText(LastLevel).Trim() : "";
        return text.EndsWith('K') && long.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var kilobytes)
            ? Math.Min(kilobytes, MostBytes / 1024) * 1024
            : 0;
    }
}
