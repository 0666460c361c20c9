using System.Reflection;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Backends.OpenCL;
using ILGPU.Runtime;
using ILGPU.Runtime.OpenCL;

namespace Distributed.Gpu.Tests;

/// <summary>What kernels become with OpenCL; no card is needed to see it.</summary>
public sealed class OpenClTests : IDisposable
{
    private readonly Context _context = Context.Create(builder => builder.WithPackedDot().WithFused());

    [Fact]
    public void Every_kernel_compiles_for_devices_of_Intel()
    {
        using var backend = Backend(CLDeviceVendor.Intel);
        // Those for tensor cores are called on cards that have them.
        var kernels = KernelMethods.All().Where(kernel => kernel.GetCustomAttribute<KernelAttribute>()!.Since == 0).ToList();
        Assert.True(kernels.Count > 100);
        foreach (var kernel in kernels)
            Assert.Contains("kernel void", ((CLCompiledKernel)backend.Compile(KernelMethods.EntryOf(kernel), KernelSpecialization.Empty)).Source);
        Assert.Null(GpuDevices.WhyNoShuffle(backend));
    }

    [Theory]
    [InlineData(CLDeviceVendor.AMD)]
    [InlineData(CLDeviceVendor.Nvidia)]
    public void Devices_that_no_shuffle_is_written_for_are_refused_when_they_are_opened(CLDeviceVendor vendor)
    {
        using var backend = Backend(vendor);
        Assert.StartsWith("ILGPU writes no code for it in which threads exchange values (", GpuDevices.WhyNoShuffle(backend));
    }

    public void Dispose() => _context.Dispose();

    private CLBackend Backend(CLDeviceVendor vendor) =>
        new(_context, new CLCapabilityContext(true, true, true, true, true), vendor, CLCVersion.CL20);
}
