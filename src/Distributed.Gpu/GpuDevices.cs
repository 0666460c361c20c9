using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace Distributed.Gpu;

/// <summary>A graphics card of this machine.</summary>
/// <param name="Name">The name it is configured by: <c>cuda:0</c>, <c>opencl:0</c>.</param>
/// <param name="Hardware">The card's own name.</param>
/// <param name="MemoryBytes">All of its memory, bytes.</param>
public sealed record GpuDevice(string Name, string Hardware, long MemoryBytes);

/// <summary>The graphics cards that ILGPU finds. Looking takes some tenths of a second, so it is done only when somebody asks.</summary>
public static class GpuDevices
{
    /// <summary>All cards, those with CUDA first; a driver that is missing means no cards of its kind.</summary>
    public static IReadOnlyList<GpuDevice> Find() =>
    [
        .. FindKind<CudaDevice>("cuda", builder => builder.Cuda()),
        .. FindKind<CLDevice>("opencl", builder => builder.OpenCL()),
    ];

    private static List<GpuDevice> FindKind<TDevice>(string kind, Func<Context.Builder, Context.Builder> enable)
        where TDevice : Device
    {
        try
        {
            using var context = Context.Create(builder => enable(builder));
            return
            [
                .. context.Devices.OfType<TDevice>().Select((device, index) => new GpuDevice($"{kind}:{index}", device.Name, device.MemorySize)),
            ];
        }
        catch (Exception error) when (error is DllNotFoundException or NotSupportedException or TypeInitializationException or AcceleratorException)
        {
            return [];
        }
    }
}
