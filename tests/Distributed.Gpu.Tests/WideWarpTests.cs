using Distributed.Core;
using Distributed.Testing.Ops;

namespace Distributed.Gpu.Tests;

/// <summary>
/// The tests of operations on warps of four threads and groups of two warps, also without a card: what threads exchange within a warp and
/// what they leave to other warps of their group are different code, of which a group of one warp runs half.
/// </summary>
internal static class WideWarps
{
    private static readonly Lazy<GpuAccelerator> Device = new(() => GpuDevices.OpenCpu("ilgpu-cpu of two warps", 4, 2));

    public static GpuBackend CreateBackend() => new(Device.Value);
}

public sealed class WideWarpMatMulTests : MatMulTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [WideWarps.CreateBackend()];
}

public sealed class WideWarpAttentionTests : AttentionTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [WideWarps.CreateBackend()];
}

public sealed class WideWarpElementwiseTests : ElementwiseTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [WideWarps.CreateBackend()];
}

public sealed class WideWarpExpertTests : ExpertTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [WideWarps.CreateBackend()];
}

public sealed class WideWarpPrefillTests : PrefillTests
{
    protected override GpuBackend CreateBackend() => WideWarps.CreateBackend();
}

public sealed class WideWarpFusedTests : FusedTests
{
    protected override IReadOnlyList<Backend> CreateBackends() => [WideWarps.CreateBackend()];
}
