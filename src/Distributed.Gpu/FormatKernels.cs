using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;
using Distributed.Gpu.Formats;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Runtime;
using Books = ILGPU.ArrayView<sbyte>;
using Bytes = ILGPU.ArrayView<byte>;
using Floats = ILGPU.ArrayView<float>;
using Ints = ILGPU.ArrayView<int>;

namespace Distributed.Gpu;

/// <summary>The kernels for one format of weights on one device, each compiled when it is first used.</summary>
internal sealed class FormatKernels
{
    // The table of formats: one row for each that kernels read.
    private static readonly Dictionary<QuantType, Func<Accelerator, KernelClock, string, FormatKernels>> Formats = new()
    {
        [F32.Type] = Load<F32Format>,
        [F16.Type] = Load<F16Format>,
        [BF16.Type] = Load<BF16Format>,
        [Q4_0.Type] = Load<Q4_0Format>,
        [Q4_1.Type] = Load<Q4_1Format>,
        [Q5_0.Type] = Load<Q5_0Format>,
        [Q5_1.Type] = Load<Q5_1Format>,
        [Q8_0.Type] = Load<Q8_0Format>,
        [Q1_0.Type] = Load<Q1_0Format>,
        [Q2_0.Type] = Load<Q2_0Format>,
        [Q2_K.Type] = Load<Q2_KFormat>,
        [Q3_K.Type] = Load<Q3_KFormat>,
        [Q4_K.Type] = Load<Q4_KFormat>,
        [Q5_K.Type] = Load<Q5_KFormat>,
        [Q6_K.Type] = Load<Q6_KFormat>,
        [IQ4_NL.Type] = Load<IQ4_NLFormat>,
        [IQ4_XS.Type] = Load<IQ4_XSFormat>,
        [MXFP4.Type] = Load<MXFP4Format>,
        [NVFP4.Type] = Load<NVFP4Format>,
        [TQ1_0.Type] = Load<TQ1_0Format>,
        [TQ2_0.Type] = Load<TQ2_0Format>,
        [IQ1_S.Type] = Load<IQ1_SFormat>,
        [IQ1_M.Type] = Load<IQ1_MFormat>,
        [IQ2_XXS.Type] = Load<IQ2_XXSFormat>,
        [IQ2_XS.Type] = Load<IQ2_XSFormat>,
        [IQ2_S.Type] = Load<IQ2_SFormat>,
        [IQ3_XXS.Type] = Load<IQ3_XXSFormat>,
        [IQ3_S.Type] = Load<IQ3_SFormat>,
    };

    private readonly KernelClock _clock;
    private readonly string _format;
    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Bytes, Books, Floats, Ints, Floats, MatVecShape>> _one;
    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Bytes, Books, Floats, Floats, MatVecShape>> _four;
    private readonly Lazy<Action<AcceleratorStream, Index1D, Bytes, Books, Ints, Floats, int>> _embed;

    private FormatKernels(
        Func<Action<AcceleratorStream, KernelConfig, Bytes, Books, Floats, Ints, Floats, MatVecShape>> one,
        Func<Action<AcceleratorStream, KernelConfig, Bytes, Books, Floats, Floats, MatVecShape>> four,
        Func<Action<AcceleratorStream, Index1D, Bytes, Books, Ints, Floats, int>> embed, KernelClock clock, string format) =>
        (_one, _four, _embed, _clock, _format) = (new(one), new(four), new(embed), clock, format);

    /// <inheritdoc cref="MatVecKernels.One{TFormat}"/>
    public Action<AcceleratorStream, KernelConfig, Bytes, Books, Floats, Ints, Floats, MatVecShape> One => Next(_one);

    /// <inheritdoc cref="MatVecKernels.Four{TFormat}"/>
    public Action<AcceleratorStream, KernelConfig, Bytes, Books, Floats, Floats, MatVecShape> Four => Next(_four);

    /// <inheritdoc cref="MatVecKernels.Embed{TFormat}"/>
    public Action<AcceleratorStream, Index1D, Bytes, Books, Ints, Floats, int> Embed => Next(_embed);

    /// <summary>The names of all formats, for messages.</summary>
    public static string Names => string.Join(", ", Formats.Keys.Select(type => type.Name));

    /// <summary>The kernels for a format; null when there are none.</summary>
    public static FormatKernels? Create(QuantType type, Accelerator accelerator, KernelClock clock) =>
        Formats.TryGetValue(type, out var load) ? load(accelerator, clock, type.Name) : null;

    private static FormatKernels Load<TFormat>(Accelerator accelerator, KernelClock clock, string format)
        where TFormat : unmanaged, IWeightFormat => new(
            () => accelerator.LoadKernel<Bytes, Books, Floats, Ints, Floats, MatVecShape>(MatVecKernels.One<TFormat>),
            () => accelerator.LoadKernel<Bytes, Books, Floats, Floats, MatVecShape>(MatVecKernels.Four<TFormat>),
            () => accelerator.LoadAutoGroupedKernel<Index1D, Bytes, Books, Ints, Floats, int>(MatVecKernels.Embed<TFormat>),
            clock, format);

    private TKernel Next<TKernel>(Lazy<TKernel> kernel, [CallerMemberName] string name = "")
    {
        _clock.Next(name, _format);
        return kernel.Value;
    }
}

