using Distributed.Testing.Ops;

namespace Distributed.Gpu.Tests;

public sealed class IlgpuCpuMatMulTests : MatMulTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [new GpuBackend(GpuDevices.Open(GpuDevices.CpuName))];
}

public sealed class IlgpuCpuAttentionTests : AttentionTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [new GpuBackend(GpuDevices.Open(GpuDevices.CpuName))];
}

public sealed class IlgpuCpuElementwiseTests : ElementwiseTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [new GpuBackend(GpuDevices.Open(GpuDevices.CpuName))];
}

public sealed class IlgpuCpuExpertTests : ExpertTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [new GpuBackend(GpuDevices.Open(GpuDevices.CpuName))];
}
