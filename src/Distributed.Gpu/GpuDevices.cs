using System.Numerics;
using System.Runtime.InteropServices;
using Distributed.Core;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Backends.EntryPoints;
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

    // How each kind is switched on, by what stands before the colon of its devices' names, and the library that ILGPU asks for.
    private static readonly (string Kind, string Library, Action<Context.Builder> Enable)[] Kinds =
    [
        ("cuda", OperatingSystem.IsWindows() ? "nvcuda" : "cuda", builder => builder.Profiling().WithPackedDot().WithFused().WithTensorCore().Cuda()),
        ("opencl", "OpenCL", builder => builder.Profiling().WithPackedDot().WithFused().OpenCL()),
    ];

    // ILGPU asks for libcuda.so and libOpenCL.so, which come with what is for building programs; those that only run them have these.
    static GpuDevices() => NativeLibrary.SetDllImportResolver(typeof(Context).Assembly, (name, _, _) => Load(name));

    /// <summary>All cards, those with CUDA first; none of a kind whose driver or library is not there.</summary>
    public static IReadOnlyList<GpuDevice> Find()
    {
        var found = new List<GpuDevice>();
        foreach (var (kind, library, enable) in Kinds)
        {
            using var context = TryCreate(kind, library, enable, out _);
            if (context is not null)
                found.AddRange(CardsOf(context).Select((device, index) => Describe($"{kind}:{index}", device)));
        }
        return found;
    }

    /// <summary>Why there is no card of each kind that has none.</summary>
    public static IReadOnlyList<string> WhyNone()
    {
        var reasons = new List<string>();
        foreach (var (kind, library, enable) in Kinds)
        {
            using var context = TryCreate(kind, library, enable, out var reason);
            if (reason is not null)
                reasons.Add(reason);
        }
        return reasons;
    }

    /// <summary>
    /// Why a device cannot be used: its kind's driver or library is not there, or there is none of its kind, or it can be opened only in
    /// part. Null where it can, where its kind has no device of that number, and for other kinds.
    /// </summary>
    /// <param name="name">The name it is configured by.</param>
    public static string? WhyMissing(string name)
    {
        TryOpen(name, out var reason);
        return reason;
    }

    /// <summary>Opens a device; the same one for all who ask, until the process ends.</summary>
    /// <exception cref="InvalidInputException">There is no such device, or it cannot be used; the error says which there are, or why.</exception>
    public static GpuAccelerator Open(string name)
    {
        if (TryOpen(name, out var reason) is { } accelerator)
            return accelerator;
        if (reason is not null)
            throw new InvalidInputException("device", name, reason);
        var names = string.Join(", ", Find().Select(card => $"{card.Name} ({card.Hardware}, {ByteSize.Format(card.MemoryBytes)})").Append(CpuName));
        throw new InvalidInputException("device", name, $"must be one of {names}");
    }

    /// <summary>ILGPU's device without a card, with groups of so many threads.</summary>
    internal static GpuAccelerator OpenCpu(string name, int warpSize, int warps)
    {
        var context = Context.Create(builder => builder.Profiling().CPU(new CPUDevice(warpSize, warps, 1)));
        return new GpuAccelerator(name, context.GetCPUDevice(0).CreateAccelerator(context));
    }

    /// <summary>Why kernels cannot run on a card that has been opened; null where they can.</summary>
    /// <param name="warpSize">Threads that run in step; 0 where the driver does not say.</param>
    /// <param name="canShuffle">Whether they can exchange values among themselves.</param>
    internal static string? WhyUnfit(int warpSize, bool canShuffle) => !canShuffle
        ? "it has no sub-groups, with which threads exchange values"
        : BitOperations.IsPow2(warpSize) && warpSize is >= 2 and <= GpuAccelerator.MaxGroupThreads
            ? null
            : $"{warpSize} of its threads run in step, which must be a power of two from 2 to {GpuAccelerator.MaxGroupThreads}";

    /// <summary>Why ILGPU cannot write code for a device in which threads exchange values; null where it can.</summary>
    internal static string? WhyNoShuffle(ILGPU.Backends.Backend backend)
    {
        try
        {
            backend.Compile(EntryPointDescription.FromExplicitlyGroupedKernel(typeof(NormKernels).GetMethod(nameof(NormKernels.RmsNorm))!), KernelSpecialization.Empty);
            return null;
        }
        catch (InternalCompilerException error)
        {
            Exception cause = error;
            while (cause.InnerException is { } inner)
                cause = inner;
            return $"ILGPU writes no code for it in which threads exchange values ({cause.Message.Split('\n')[0]})";
        }
    }

    private static GpuAccelerator? TryOpen(string name, out string? reason)
    {
        lock (Gate)
        {
            reason = null;
            if (!Opened.TryGetValue(name, out var accelerator) && (accelerator = TryCreate(name, out reason)) is not null)
                Opened.Add(name, accelerator);
            return accelerator;
        }
    }

    private static GpuAccelerator? TryCreate(string name, out string? reason)
    {
        reason = null;
        if (name == CpuName)
            // Two threads: with more, waiting for each other takes most of their time.
            return OpenCpu(name, 2, 1);

        var parts = name.Split(':');
        foreach (var (kind, library, enable) in Kinds)
        {
            if (parts.Length != 2 || parts[0] != kind || !int.TryParse(parts[1], out var index))
                continue;
            if (TryCreate(kind, library, enable, out reason) is not { } context)
                return null;
            if (CardsOf(context).ElementAtOrDefault(index) is { } card && TryCreate(name, card, context, out reason) is { } created)
                return created;
            context.Dispose();
        }
        return null;
    }

    private static GpuAccelerator? TryCreate(string name, Device card, Context context, out string? reason)
    {
        Accelerator? accelerator = null;
        try
        {
            accelerator = card.CreateAccelerator(context);
            reason = WhyUnfit(accelerator.WarpSize, accelerator is not CLAccelerator { Capabilities.SubGroups: false })
                ?? (accelerator is CLAccelerator openCl ? WhyNoShuffle(openCl.Backend) : null);
            if (reason is null)
                return new GpuAccelerator(name, accelerator);
        }
        catch (Exception error) when (error is AcceleratorException or CapabilityNotSupportedException or NotSupportedException)
        {
            // Its memory is full, another process has it for itself, its driver lacks what ILGPU asks for.
            reason = FirstLine(error);
        }

        accelerator?.Dispose();
        reason = $"{card.Name} cannot be used: {reason}";
        return null;
    }

    // What is to be seen is why there are no devices: a context that has none is disposed of.
    private static Context? TryCreate(string kind, string library, Action<Context.Builder> enable, out string? reason)
    {
        try
        {
            var context = Context.Create(enable);
            reason = CardsOf(context).Any() ? null
                : Load(library) == 0 ? $"no {kind} device can be used: the driver's library, {FileName(library)}, is not there"
                : $"there is no {kind} device on this machine";
            if (reason is null)
                return context;
            context.Dispose();
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException or NotSupportedException
            or TypeInitializationException or AcceleratorException)
        {
            reason = $"no {kind} device can be used: {FirstLine(error)}";
        }
        return null;
    }

    // 0 where there is none.
    private static nint Load(string library) =>
        NativeLibrary.TryLoad(library, typeof(Context).Assembly, null, out var handle) || NativeLibrary.TryLoad($"lib{library}.so.1", out handle)
            ? handle : 0;

    private static string FileName(string library) => OperatingSystem.IsWindows() ? $"{library}.dll" : $"lib{library}.so.1";

    private static string FirstLine(Exception error) => (error.InnerException ?? error).Message.Split('\n')[0];

    private static IEnumerable<Device> CardsOf(Context context) => context.Devices.Where(device => device is not CPUDevice);

    private static GpuDevice Describe(string name, Device device) =>
        new(name, device.Name, device.MemorySize, device is CudaDevice { Architecture: { } architecture } ? $"{architecture.Major}.{architecture.Minor}" : null);
}
