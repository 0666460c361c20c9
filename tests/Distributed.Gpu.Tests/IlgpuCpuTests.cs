using Distributed.Core;
using Distributed.Testing.Ops;

namespace Distributed.Gpu.Tests;

/// <summary>The tests of every device on ILGPU's device without a card.</summary>
internal static class IlgpuCpu
{
    public static GpuBackend CreateBackend() => new(GpuDevices.Open(GpuDevices.CpuName));
}

public sealed class IlgpuCpuMatMulTests : MatMulTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [IlgpuCpu.CreateBackend()];
}

public sealed class IlgpuCpuAttentionTests : AttentionTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [IlgpuCpu.CreateBackend()];
}

public sealed class IlgpuCpuElementwiseTests : ElementwiseTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [IlgpuCpu.CreateBackend()];
}

public sealed class IlgpuCpuExpertTests : ExpertTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [IlgpuCpu.CreateBackend()];
}

public sealed class IlgpuCpuLogitsTests : DeviceLogitsTests
{
    protected override Backend CreateBackend() => IlgpuCpu.CreateBackend();
}

public sealed class IlgpuCpuPrefillTests : PrefillTests
{
    protected override GpuBackend CreateBackend() => IlgpuCpu.CreateBackend();
}

public sealed class IlgpuCpuLongContextTests : LongContextTests
{
    protected override GpuBackend CreateBackend() => IlgpuCpu.CreateBackend();
}

public sealed class IlgpuCpuStepTests : StepTests
{
    protected override GpuBackend CreateBackend() => IlgpuCpu.CreateBackend();
}

public sealed class IlgpuCpuMemoryTests : MemoryTests
{
    protected override GpuBackend CreateBackend() => IlgpuCpu.CreateBackend();
}

public sealed class IlgpuCpuLoadTests : LoadTests
{
    protected override GpuBackend CreateBackend() => IlgpuCpu.CreateBackend();
}

public sealed class IlgpuCpuFusedTests : FusedTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [IlgpuCpu.CreateBackend()];
}
