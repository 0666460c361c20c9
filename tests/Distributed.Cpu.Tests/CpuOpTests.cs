using Distributed.Core;
using Distributed.Testing.Ops;

namespace Distributed.Cpu.Tests;

/// <summary>The paths through the kernels that this processor can take, one backend for each.</summary>
internal static class CpuPaths
{
    private static readonly InstructionSets[] All =
    [
        InstructionSets.None,
        InstructionSets.Vector128,
        InstructionSets.Vector128 | InstructionSets.Avx2,
        InstructionSets.Vector128 | InstructionSets.Avx2 | InstructionSets.AvxVnni,
        InstructionSets.All,
    ];

    /// <summary>Each differs from the others; the last is the fastest.</summary>
    public static IReadOnlyList<InstructionSets> Supported { get; } =
        [.. All.Select(path => path & Processor.Instructions).Distinct()];

    public static IReadOnlyList<Backend> Backends() =>
        [.. Supported.Select(path => new CpuBackend(threads: path == InstructionSets.None ? 1 : 2, path))];
}

public sealed class CpuMatMulTests : MatMulTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => CpuPaths.Backends();
}

public sealed class CpuAttentionTests : AttentionTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => CpuPaths.Backends();
}

public sealed class CpuElementwiseTests : ElementwiseTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => CpuPaths.Backends();
}

public sealed class CpuExpertTests : ExpertTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => CpuPaths.Backends();
}
