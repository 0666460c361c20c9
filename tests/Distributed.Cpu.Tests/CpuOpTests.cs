using Distributed.Testing;
using Distributed.Testing.Ops;

namespace Distributed.Cpu.Tests;

/// <summary>One backend for each path through the kernels.</summary>
internal static class CpuPaths
{
    public static IReadOnlyList<Backend> Backends() =>
        [.. InstructionSetPaths.Supported.Select(path => new CpuBackend(threads: path == InstructionSets.None ? 1 : 2, path))];
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
