using Distributed.Cpu;

namespace Distributed.Testing;

/// <summary>The paths through the kernels that this processor can take.</summary>
public static class InstructionSetPaths
{
    private static readonly InstructionSets[] All =
    [
        InstructionSets.None,
        InstructionSets.Vector128,
        InstructionSets.Vector128 | InstructionSets.Avx2,
        InstructionSets.Vector128 | InstructionSets.Avx2 | InstructionSets.AvxVnni,
        InstructionSets.Vector128 | InstructionSets.Avx2 | InstructionSets.Avx512,
        InstructionSets.Vector128 | InstructionSets.Avx2 | InstructionSets.Avx512 | InstructionSets.AvxVnni,
        InstructionSets.All,
    ];

    /// <summary>Each differs from the others; the last is the fastest.</summary>
    public static IReadOnlyList<InstructionSets> Supported { get; } =
        [.. All.Select(path => path & Processor.Instructions).Distinct()];
}
