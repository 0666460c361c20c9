using System.Runtime.CompilerServices;
using Distributed.Core;
using Distributed.Core.Quantization;
using Distributed.Gpu.Formats;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Runtime;
using Bytes = ILGPU.ArrayView<byte>;
using Floats = ILGPU.ArrayView<float>;
using Ints = ILGPU.ArrayView<int>;

namespace Distributed.Gpu;

/// <summary>The kernels for one format of weights that is multiplied as bytes, on one device, each compiled when it is first used.</summary>
internal sealed class Int8Kernels
{
    // The table of formats: one row for each, with the parts that its blocks are taken apart into when they are loaded.
    private static readonly Dictionary<QuantType, Func<Accelerator, KernelClock, Int8Kernels>> Formats = new()
    {
        [Q4_0.Type] = (accelerator, clock) => Load<Q4_0Planes>(accelerator, clock, Q4_0.Type, new(2, 16), new(0, 2)),
        [Q8_0.Type] = (accelerator, clock) => Load<Q8_0Planes>(accelerator, clock, Q8_0.Type, new(2, 32), new(0, 2)),
        [Q4_K.Type] = (accelerator, clock) => Load<Q4_KBlocks>(accelerator, clock, Q4_K.Type),
        [Q5_K.Type] = (accelerator, clock) => Load<Q5_KBlocks>(accelerator, clock, Q5_K.Type),
        [Q6_K.Type] = (accelerator, clock) => Load<Q6_KPlanes>(accelerator, clock, Q6_K.Type, new(0, 128), new(128, 64), new(192, 16), new(208, 2)),
    };

    private readonly KernelClock _clock;
    private readonly string _format;
    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Bytes, Bytes, Int8Layout, Ints, Floats, MatVecShape>> _one;
    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Int8Matrices, Bytes, Int8Layout, int>> _several;
    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Bytes, Bytes, Int8Layout, Floats, MatVecShape>> _four;
    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Bytes, Bytes, Int8Layout, Ints, Ints, Floats, MatVecShape, int>> _tile;
    private readonly Lazy<Action<AcceleratorStream, Index1D, Bytes, Ints, Floats, int>> _embed;

    private Int8Kernels(
        Func<Action<AcceleratorStream, KernelConfig, Bytes, Bytes, Int8Layout, Ints, Floats, MatVecShape>> one,
        Func<Action<AcceleratorStream, KernelConfig, Int8Matrices, Bytes, Int8Layout, int>> several,
        Func<Action<AcceleratorStream, KernelConfig, Bytes, Bytes, Int8Layout, Floats, MatVecShape>> four,
        Func<Action<AcceleratorStream, KernelConfig, Bytes, Bytes, Int8Layout, Ints, Ints, Floats, MatVecShape, int>> tile,
        Func<Action<AcceleratorStream, Index1D, Bytes, Ints, Floats, int>> embed, BlockPart[] parts, KernelClock clock, string format) =>
        (_one, _several, _four, _tile, _embed, Parts, _clock, _format) =
        (new(one), new(several), new(four), new(tile), new(embed), parts, clock, format);

    /// <inheritdoc cref="Int8MatVecKernels.One{TFormat}"/>
    public Action<AcceleratorStream, KernelConfig, Bytes, Bytes, Int8Layout, Ints, Floats, MatVecShape> One => Next(_one);

    /// <inheritdoc cref="Int8MatVecKernels.Several{TFormat}"/>
    public Action<AcceleratorStream, KernelConfig, Int8Matrices, Bytes, Int8Layout, int> Several => Next(_several);

    /// <inheritdoc cref="Int8MatVecKernels.Four{TFormat}"/>
    public Action<AcceleratorStream, KernelConfig, Bytes, Bytes, Int8Layout, Floats, MatVecShape> Four => Next(_four);

    /// <summary>
    /// <see cref="Int8TensorKernels.Multiply{TFormat}"/> where the device has tensor cores, else
    /// <see cref="Int8TileKernels.Multiply{TFormat}"/>.
    /// </summary>
    public Action<AcceleratorStream, KernelConfig, Bytes, Bytes, Int8Layout, Ints, Ints, Floats, MatVecShape, int> Tile => Next(_tile);

    /// <inheritdoc cref="Int8MatVecKernels.Embed{TFormat}"/>
    public Action<AcceleratorStream, Index1D, Bytes, Ints, Floats, int> Embed => Next(_embed);

    /// <summary>The parts of blocks in the order that <see cref="BlockPlanes"/> gives them on the device; none where blocks stay whole.</summary>
    public BlockPart[] Parts { get; }

    /// <summary>Whether a tensor is multiplied so.</summary>
    public static bool Suits(Tensor tensor) => Formats.ContainsKey(tensor.Type) && tensor.Columns % Int8MatVecKernels.RowMultiple == 0;

    /// <summary>The kernels for a format.</summary>
    public static Int8Kernels Create(QuantType type, Accelerator accelerator, KernelClock clock) => Formats[type](accelerator, clock);

    private static Int8Kernels Load<TFormat>(Accelerator accelerator, KernelClock clock, QuantType type, params BlockPart[] parts)
        where TFormat : unmanaged, IInt8Format => new(
            () => accelerator.LoadKernel<Bytes, Bytes, Int8Layout, Ints, Floats, MatVecShape>(Int8MatVecKernels.One<TFormat>),
            () => accelerator.LoadKernel<Int8Matrices, Bytes, Int8Layout, int>(Int8MatVecKernels.Several<TFormat>),
            () => accelerator.LoadKernel<Bytes, Bytes, Int8Layout, Floats, MatVecShape>(Int8MatVecKernels.Four<TFormat>),
            () => accelerator.LoadKernel<Bytes, Bytes, Int8Layout, Ints, Ints, Floats, MatVecShape, int>(
                TensorCore.IsIn(accelerator) ? Int8TensorKernels.Multiply<TFormat> : Int8TileKernels.Multiply<TFormat>),
            () => accelerator.LoadAutoGroupedKernel<Index1D, Bytes, Ints, Floats, int>(Int8MatVecKernels.Embed<TFormat>),
            parts, clock, type.Name);

    private TKernel Next<TKernel>(Lazy<TKernel> kernel, [CallerMemberName] string name = "")
    {
        _clock.Next(name, _format);
        return kernel.Value;
    }
}

