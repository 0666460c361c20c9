using System.Runtime.InteropServices;
using Distributed.Cpu;
using Distributed.Worker;

namespace Distributed.Cli.Bench;

/// <summary>What figures were measured on.</summary>
/// <param name="Cpu">The processor's name.</param>
/// <param name="Cores">Logical cores that the process may use.</param>
/// <param name="Instructions">The vector instructions that kernels use.</param>
/// <param name="Memory">Bytes of memory.</param>
/// <param name="System">The operating system.</param>
/// <param name="Runtime">The version of .NET.</param>
internal sealed record Machine(string Cpu, int Cores, string Instructions, long Memory, string System, string Runtime)
{
    /// <summary>This one.</summary>
    public static Machine This { get; } = new(
        HostMachine.ProcessorName,
        Environment.ProcessorCount,
        string.Join(' ', Enum.GetValues<InstructionSets>().Where(set => int.PopCount((int)set) == 1 && Processor.Instructions.HasFlag(set))),
        GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
        RuntimeInformation.OSDescription,
        RuntimeInformation.FrameworkDescription);
}
