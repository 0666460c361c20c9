namespace Distributed.Gpu.Tests;

public sealed class IlgpuCpuLogitsTests : DeviceLogitsTests
{
    protected override Backend CreateBackend() => new GpuBackend(GpuDevices.Open(GpuDevices.CpuName));
}
