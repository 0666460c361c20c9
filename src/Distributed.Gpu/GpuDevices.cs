using Distributed.Core;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace Distributed.Gpu;

/// <summary>A device that ILGPU can compute on.</summary>
/// <param name="Name">The name it is configured by: <c>cuda:0</c>, <c>opencl:0</c>, <c>ilgpu-cpu</c>.</param>
/// <param name="Hardware">The card's own name.</param>
/// <param name="MemoryBytes">All of its memory, bytes; 0 where it is the machine's.</param>
/// <param name="Capability">The compute capability, as <c>9.0</c>; null where there is no such number.</param>
public sealed record GpuDevice(string Name, string Hardware, long MemoryBytes, string? Capability = null);

/// <summary>The graphics cards that ILGPU finds. Looking takes some tenths of a second, so it is done only when somebody asks.</summary>
public static class GpuDevices
{
    /// <summary>
    /// The name of ILGPU's device without a card: the same kernels as threads of this process, slowly. For tests, and for seeing a
    /// split work on a machine that has no card.
    /// </summary>
    public const string CpuName = "ilgpu-cpu";

    private static readonly Lock Gate = new();
    private static readonly Dictionary<string, GpuAccelerator> Opened = [];

    // How each kind is switched on, by what stands before the colon of its devices' names.
    private static readonly (string Kind, Action<Context.Builder> Enable)[] Kinds =
    [
        ("cuda", builder => builder.WithPackedDot().WithFused().WithTensorCore().Cuda()),
        ("opencl", builder => builder.OpenCL()),
    ];

    /// <summary>All cards, those with CUDA first.</summary>
    public static IReadOnlyList<GpuDevice> Find() => Find(out _);

    /// <summary>All cards, those with CUDA first.</summary>
    /// <param name="missing">What says, kind by kind, why there can be none of it: a driver or library that is not there.</param>
    public static IReadOnlyList<GpuDevice> Find(out IReadOnlyList<string> missing)
    {
        var reasons = new List<string>();
        var found = new List<GpuDevice>();
        foreach (var (kind, enable) in Kinds)
        {
            using var context = TryCreate(kind, enable, out var reason);
            if (context is null)
                reasons.Add(reason!);
            else
                found.AddRange(CardsOf(context).Select((device, index) => Describe($"{kind}:{index}", device)));
        }
        missing = reasons;
        return found;
    }

    /// <summary>Why a machine can have no devices of a kind: a driver or library is not there. Null where it can, and for other kinds.</summary>
    public static string? WhyMissing(string kind)
    {
        foreach (var (name, enable) in Kinds)
        {
            if (name != kind)
                continue;
            using var context = TryCreate(name, enable, out var reason);
            return context is null ? reason : CardsOf(context).Any() ? null : $"there is no {kind} device on this machine";
        }
        return null;
    }

    /// <summary>Opens a device; the same one for all who ask, until the process ends.</summary>
    /// <exception cref="InvalidInputException">There is no such device; the error says which there are.</exception>
    public static GpuAccelerator Open(string name)
    {
        lock (Gate)
        {
            if (!Opened.TryGetValue(name, out var accelerator))
                Opened.Add(name, accelerator = Create(name));
            return accelerator;
        }
    }

    private static GpuAccelerator Create(string name)
    {
        if (name == CpuName)
        {
            // Two threads: with more, waiting for each other takes most of their time.
            var context = Context.Create(builder => builder.CPU(new CPUDevice(2, 1, 1)));
            return new GpuAccelerator(name, context.GetCPUDevice(0).CreateAccelerator(context));
        }

        var parts = name.Split(':');
        foreach (var (kind, enable) in Kinds)
        {
            if (parts.Length != 2 || parts[0] != kind || !int.TryParse(parts[1], out var index) || TryCreate(kind, enable, out _) is not { } context)
                continue;
            if (CardsOf(context).ElementAtOrDefault(index) is { } device)
                return new GpuAccelerator(name, device.CreateAccelerator(context));
            context.Dispose();
        }

        var found = Find(out var missing);
        var names = string.Join(", ", found.Select(card => $"{card.Name} ({card.Hardware}, {ByteSize.Format(card.MemoryBytes)})").Append(CpuName));
        throw new InvalidInputException("device", name, $"must be one of {names}{string.Concat(missing.Select(reason => $"; {reason}"))}");
    }

    private static Context? TryCreate(string kind, Action<Context.Builder> enable, out string? reason)
    {
        reason = null;
        try
        {
            return Context.Create(enable);
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException or NotSupportedException
            or TypeInitializationException or AcceleratorException)
        {
            reason = $"no {kind} device can be used: {(error.InnerException ?? error).Message.Split('\n')[0]}";
            return null;
        }
    }

    private static IEnumerable<Device> CardsOf(Context context) => context.Devices.Where(device => device is not CPUDevice);

    private static GpuDevice Describe(string name, Device device) =>
        new(name, device.Name, device.MemorySize, device is CudaDevice { Architecture: { } architecture } ? $"{architecture.Major}.{architecture.Minor}" : null);
}
