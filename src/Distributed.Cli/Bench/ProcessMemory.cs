using System.Diagnostics;

namespace Distributed.Cli.Bench;

/// <summary>What the operating system says of a process's memory.</summary>
internal static class ProcessMemory
{
    /// <summary>The most bytes that a process has had in memory at once, pages of mapped files included; 0 where it has ended.</summary>
    public static long Peak(int id)
    {
        try
        {
            using var process = Process.GetProcessById(id);
            return process.PeakWorkingSet64;
        }
        catch (Exception error) when (error is ArgumentException or InvalidOperationException)
        {
            return 0;
        }
    }
}
