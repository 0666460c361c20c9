using System.Runtime.InteropServices;

namespace Distributed.Cpu;

/// <summary>Pages of a mapped file.</summary>
internal static unsafe partial class MappedPages
{
    // Linux 5.14: one call in place of a fault for every page, and what is not in the page cache is read in order.
    private const int PopulateRead = 22;

    private static int _touched;

    /// <summary>Reads some bytes into memory and maps them, so that no access has to wait any more.</summary>
    public static void Load(byte* data, long bytes)
    {
        var start = data - ((nint)data % Environment.SystemPageSize);
        if (!OperatingSystem.IsLinux() || Advise(start, (nint)(data + bytes - start), PopulateRead) != 0)
            Touch(start, data + bytes);
    }

    private static void Touch(byte* start, byte* end)
    {
        var sum = 0;
        for (; start < end; start += Environment.SystemPageSize)
            sum += *start;
        Volatile.Write(ref _touched, sum);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* start, nint length, int advice);
}
