using Distributed.Core;
using Distributed.Core.Quantization;
using Distributed.Gpu.Formats;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace Distributed.Gpu;

/// <summary>A device that is open: its kernels, compiled when they are first used, and the formats' tables. Shared by its backends.</summary>
public sealed class GpuAccelerator
{
    /// <summary>More threads than these in a group share nothing that would be worth their waiting for each other.</summary>
    internal const int MaxGroupThreads = 128;

    // Of twice as many, each thread would have 64 registers at most, and a kernel that wants more could not be launched.
    private const int MaxWideGroupThreads = 512;

    private readonly Lock _gate = new();
    private readonly Dictionary<QuantType, FormatKernels> _formats = [];
    private readonly Dictionary<QuantType, Int8Kernels> _int8 = [];
    private readonly MemoryBuffer1D<sbyte, Stride1D.Dense> _tables;

    internal GpuAccelerator(string name, Accelerator accelerator)
    {
        (Name, Accelerator) = (name, accelerator);
        GroupThreads = Math.Min(MaxGroupThreads, accelerator.MaxNumThreadsPerGroup) / accelerator.WarpSize * accelerator.WarpSize;
        var wide = Math.Min(MaxWideGroupThreads, accelerator.MaxNumThreadsPerGroup) / accelerator.WarpSize;
        WideGroupThreads = Math.Min(WarpSum.MaxWarps, wide) * accelerator.WarpSize;
        IsTensor = TensorCore.IsIn(accelerator);
        Kernels = new GpuKernels(accelerator, Clock);
        _tables = accelerator.Allocate1D(DeviceTables.Create());
    }

    /// <summary>The name it is configured by.</summary>
    public string Name { get; }

    /// <summary>The card's own name, and its compute capability where it has one.</summary>
    public string Hardware => Accelerator is CudaAccelerator { Architecture: var architecture }
        ? $"{Accelerator.Name} (compute capability {architecture.Major}.{architecture.Minor})"
        : Accelerator.Name;

    /// <summary>All of its memory, bytes; 0 where it is the machine's.</summary>
    public long MemoryBytes => Accelerator.AcceleratorType == AcceleratorType.CPU ? 0 : Accelerator.MemorySize;

    /// <summary>Bytes of its memory that nobody has taken; null where it is the machine's.</summary>
    public long? FreeMemory => Accelerator is CudaAccelerator cuda ? cuda.GetFreeMemory() : null;

    /// <summary>ILGPU's own.</summary>
    internal Accelerator Accelerator { get; }

    /// <summary>Threads of a group whose threads work together: whole warps.</summary>
    internal int GroupThreads { get; }

    /// <summary>Threads of a group that has a row to itself: whole warps.</summary>
    internal int WideGroupThreads { get; }

    /// <summary>Whether products of many inputs run on tensor cores.</summary>
    internal bool IsTensor { get; }

    /// <summary>Inputs in a tile of a product of bytes.</summary>
    internal int TileTokens => IsTensor ? Int8TensorKernels.TileTokens : Int8TileKernels.TileTokens;

    /// <summary>Times the kernels of one of its backends, when told to.</summary>
    internal KernelClock Clock { get; } = new();

    /// <summary>The kernels that know no format of weights.</summary>
    internal GpuKernels Kernels { get; }

    /// <summary>The formats' tables.</summary>
    internal ArrayView<sbyte> Tables => _tables.View;

    /// <summary>The kernels that multiply a weight as bytes; null when it is not.</summary>
    internal Int8Kernels? FindInt8(Tensor tensor)
    {
        if (!Int8Kernels.Suits(tensor))
            return null;
        lock (_gate)
        {
            if (!_int8.TryGetValue(tensor.Type, out var kernels))
                _int8.Add(tensor.Type, kernels = Int8Kernels.Create(tensor.Type, Accelerator, Clock));
            return kernels;
        }
    }

    /// <summary>The kernels for a format; null when there are none.</summary>
    internal FormatKernels? Find(QuantType type)
    {
        lock (_gate)
        {
            if (!_formats.TryGetValue(type, out var kernels) && FormatKernels.Create(type, Accelerator, Clock) is { } created)
                _formats.Add(type, kernels = created);
            return kernels;
        }
    }
}
