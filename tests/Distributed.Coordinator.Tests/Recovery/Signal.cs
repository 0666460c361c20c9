using System.Diagnostics;

namespace Distributed.Coordinator.Tests.Recovery;

/// <summary>Signals to real processes.</summary>
internal static class Signal
{
    /// <summary>Sends one, e.g. <c>STOP</c>; nothing where the process has ended.</summary>
    public static async Task SendAsync(string signal, Process process)
    {
        if (process.HasExited)
            return;
        using var kill = Process.Start("kill", ["-s", signal, $"{process.Id}"]);
        await kill.WaitForExitAsync();
    }
}
