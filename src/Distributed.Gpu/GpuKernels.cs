using System.Runtime.CompilerServices;
using Distributed.Core;
using Distributed.Gpu.Formats;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Runtime;
using Bytes = ILGPU.ArrayView<byte>;
using Floats = ILGPU.ArrayView<float>;
using Ints = ILGPU.ArrayView<int>;

namespace Distributed.Gpu;

/// <summary>The kernels of one device that know no format of weights, each compiled when it is first used.</summary>
internal sealed class GpuKernels(Accelerator accelerator, KernelClock clock)
{
    private readonly Lazy<Action<AcceleratorStream, Index1D, Floats, Floats, int>> _addBias =
        new(() => accelerator.LoadAutoGroupedKernel<Index1D, Floats, Floats, int>(ElementwiseKernels.AddBias));

    private readonly Lazy<Action<AcceleratorStream, Index1D, Floats, float, Floats>> _addScaled =
        new(() => accelerator.LoadAutoGroupedKernel<Index1D, Floats, float, Floats>(ElementwiseKernels.AddScaled));

    private readonly Lazy<Action<AcceleratorStream, Index1D, Floats, float>> _scale =
        new(() => accelerator.LoadAutoGroupedKernel<Index1D, Floats, float>(ElementwiseKernels.Scale));

    private readonly Lazy<Action<AcceleratorStream, Index1D, Floats, float>> _softCap =
        new(() => accelerator.LoadAutoGroupedKernel<Index1D, Floats, float>(ElementwiseKernels.SoftCap));

    private readonly Lazy<Action<AcceleratorStream, Index1D, Activation, Floats, Floats, int>> _activate =
        new(() => accelerator.LoadAutoGroupedKernel<Index1D, Activation, Floats, Floats, int>(ElementwiseKernels.Activate));

    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Floats, Bytes, Int8Layout>> _quantize =
        new(() => accelerator.LoadKernel<Floats, Bytes, Int8Layout>(QuantizeKernels.Quantize));

    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Activation, Floats, Floats, int, Bytes, Int8Layout>> _activateAndQuantize =
        new(() => accelerator.LoadKernel<Activation, Floats, Floats, int, Bytes, Int8Layout>(QuantizeKernels.ActivateAndQuantize));

    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Floats, Floats, Floats, Bytes, Int8Layout, float>> _normAndQuantize =
        new(() => accelerator.LoadKernel<Floats, Floats, Floats, Bytes, Int8Layout, float>(QuantizeKernels.NormAndQuantize));

    private readonly Lazy<Action<AcceleratorStream, Index1D, Floats, Ints, Floats, int>> _gather =
        new(() => accelerator.LoadAutoGroupedKernel<Index1D, Floats, Ints, Floats, int>(ElementwiseKernels.Gather));

    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Floats, Floats, Floats, int, int, float>> _rmsNorm =
        new(() => accelerator.LoadKernel<Floats, Floats, Floats, int, int, float>(NormKernels.RmsNorm));

    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Floats, Floats, Floats, int, Floats, int, int, float>> _layerNorm =
        new(() => accelerator.LoadKernel<Floats, Floats, Floats, int, Floats, int, int, float>(NormKernels.LayerNorm));

    private readonly Lazy<Action<AcceleratorStream, Index1D, Floats, Floats, Floats, int, int, int, RopePairs>> _rotate =
        new(() => accelerator.LoadAutoGroupedKernel<Index1D, Floats, Floats, Floats, int, int, int, RopePairs>(RopeKernels.Rotate));

    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Floats, Floats, Floats, int, int, int>> _halvesToNeighbours =
        new(() => accelerator.LoadKernel<Floats, Floats, Floats, int, int, int>(RopeKernels.HalvesToNeighbours));

    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Floats, Floats, Floats, int, AttentionOptions>> _mergeParts =
        new(() => accelerator.LoadKernel<Floats, Floats, Floats, int, AttentionOptions>(AttentionKernels.MergeParts));

    private readonly Lazy<Action<AcceleratorStream, Index1D, Floats, Ints, Floats, int, int, int>> _chooseExperts =
        new(() => accelerator.LoadAutoGroupedKernel<Index1D, Floats, Ints, Floats, int, int, int>(ExpertKernels.Choose));

    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Ints, Ints, Ints, Ints, int, int, int, int>> _groupChoices =
        new(() => accelerator.LoadKernel<Ints, Ints, Ints, Ints, int, int, int, int>(ExpertKernels.Group));

    private readonly Lazy<Action<AcceleratorStream, Index1D, Floats, Ints, Floats, int>> _addExpertBias =
        new(() => accelerator.LoadAutoGroupedKernel<Index1D, Floats, Ints, Floats, int>(ExpertKernels.AddBias));

    private readonly Lazy<Action<AcceleratorStream, Index1D, Floats, Floats, Floats, int, int>> _addExperts =
        new(() => accelerator.LoadAutoGroupedKernel<Index1D, Floats, Floats, Floats, int, int>(ExpertKernels.Add));

    private readonly KvKernels[] _kv =
    [
        KvKernels.Load<KvF16>(accelerator, clock, KvType.F16), KvKernels.Load<KvF32>(accelerator, clock, KvType.F32),
        KvKernels.Load<KvQ8_0>(accelerator, clock, KvType.Q8_0),
    ];

    /// <inheritdoc cref="ElementwiseKernels.AddBias"/>
    public Action<AcceleratorStream, Index1D, Floats, Floats, int> AddBias => Next(_addBias);

    /// <inheritdoc cref="ElementwiseKernels.AddScaled"/>
    public Action<AcceleratorStream, Index1D, Floats, float, Floats> AddScaled => Next(_addScaled);

    /// <inheritdoc cref="ElementwiseKernels.Scale"/>
    public Action<AcceleratorStream, Index1D, Floats, float> Scale => Next(_scale);

    /// <inheritdoc cref="ElementwiseKernels.SoftCap"/>
    public Action<AcceleratorStream, Index1D, Floats, float> SoftCap => Next(_softCap);

    /// <inheritdoc cref="ElementwiseKernels.Activate"/>
    public Action<AcceleratorStream, Index1D, Activation, Floats, Floats, int> Activate => Next(_activate);

    /// <inheritdoc cref="QuantizeKernels.Quantize"/>
    public Action<AcceleratorStream, KernelConfig, Floats, Bytes, Int8Layout> Quantize => Next(_quantize);

    /// <inheritdoc cref="QuantizeKernels.ActivateAndQuantize"/>
    public Action<AcceleratorStream, KernelConfig, Activation, Floats, Floats, int, Bytes, Int8Layout> ActivateAndQuantize => Next(_activateAndQuantize);

    /// <inheritdoc cref="QuantizeKernels.NormAndQuantize"/>
    public Action<AcceleratorStream, KernelConfig, Floats, Floats, Floats, Bytes, Int8Layout, float> NormAndQuantize => Next(_normAndQuantize);

    /// <inheritdoc cref="ElementwiseKernels.Gather"/>
    public Action<AcceleratorStream, Index1D, Floats, Ints, Floats, int> Gather => Next(_gather);

    /// <inheritdoc cref="NormKernels.RmsNorm"/>
    public Action<AcceleratorStream, KernelConfig, Floats, Floats, Floats, int, int, float> RmsNorm => Next(_rmsNorm);

    /// <inheritdoc cref="NormKernels.LayerNorm"/>
    public Action<AcceleratorStream, KernelConfig, Floats, Floats, Floats, int, Floats, int, int, float> LayerNorm => Next(_layerNorm);

    /// <inheritdoc cref="RopeKernels.Rotate"/>
    public Action<AcceleratorStream, Index1D, Floats, Floats, Floats, int, int, int, RopePairs> Rotate => Next(_rotate);

    /// <inheritdoc cref="RopeKernels.HalvesToNeighbours"/>
    public Action<AcceleratorStream, KernelConfig, Floats, Floats, Floats, int, int, int> HalvesToNeighbours => Next(_halvesToNeighbours);

    /// <inheritdoc cref="AttentionKernels.MergeParts"/>
    public Action<AcceleratorStream, KernelConfig, Floats, Floats, Floats, int, AttentionOptions> MergeParts => Next(_mergeParts);

    /// <inheritdoc cref="ExpertKernels.Choose"/>
    public Action<AcceleratorStream, Index1D, Floats, Ints, Floats, int, int, int> ChooseExperts => Next(_chooseExperts);

    /// <inheritdoc cref="ExpertKernels.Group"/>
    public Action<AcceleratorStream, KernelConfig, Ints, Ints, Ints, Ints, int, int, int, int> GroupChoices => Next(_groupChoices);

    /// <inheritdoc cref="ExpertKernels.AddBias"/>
    public Action<AcceleratorStream, Index1D, Floats, Ints, Floats, int> AddExpertBias => Next(_addExpertBias);

    /// <inheritdoc cref="ExpertKernels.Add"/>
    public Action<AcceleratorStream, Index1D, Floats, Floats, Floats, int, int> AddExperts => Next(_addExperts);

    /// <summary>The kernels of a format of the KV cache.</summary>
    public KvKernels Kv(KvType type) => _kv[(int)type];

    private TKernel Next<TKernel>(Lazy<TKernel> kernel, [CallerMemberName] string name = "")
    {
        clock.Next(name);
        return kernel.Value;
    }
}

/// <summary>The kernels for one format of the KV cache on one device.</summary>
internal sealed class KvKernels
{
    private readonly KernelClock _clock;
    private readonly string _format;
    private readonly Lazy<Action<AcceleratorStream, Index1D, Bytes, Ints, Ints, Floats, Floats, KvLayer>> _store;
    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Bytes, Ints, Ints, Floats, Floats, Floats, KvLayer, AttentionOptions>> _attend;
    private readonly Lazy<Action<AcceleratorStream, KernelConfig, Bytes, Ints, Ints, Ints, Floats, Floats, Floats, KvLayer, AttentionOptions>> _tiles;

    private KvKernels(
        Func<Action<AcceleratorStream, Index1D, Bytes, Ints, Ints, Floats, Floats, KvLayer>> store,
        Func<Action<AcceleratorStream, KernelConfig, Bytes, Ints, Ints, Floats, Floats, Floats, KvLayer, AttentionOptions>> attend,
        Func<Action<AcceleratorStream, KernelConfig, Bytes, Ints, Ints, Ints, Floats, Floats, Floats, KvLayer, AttentionOptions>> tiles,
        int runLength, KernelClock clock, string format) =>
        (_store, _attend, _tiles, RunLength, _clock, _format) = (new(store), new(attend), new(tiles), runLength, clock, format);

    /// <inheritdoc cref="AttentionKernels.Store{TKv}"/>
    public Action<AcceleratorStream, Index1D, Bytes, Ints, Ints, Floats, Floats, KvLayer> Store => Next(_store);

    /// <inheritdoc cref="AttentionKernels.Attend{TKv}"/>
    public Action<AcceleratorStream, KernelConfig, Bytes, Ints, Ints, Floats, Floats, Floats, KvLayer, AttentionOptions> Attend => Next(_attend);

    /// <inheritdoc cref="TileAttentionKernels.Attend{TKv}"/>
    public Action<AcceleratorStream, KernelConfig, Bytes, Ints, Ints, Ints, Floats, Floats, Floats, KvLayer, AttentionOptions> AttendTiles => Next(_tiles);

    /// <inheritdoc cref="IKvFormat.RunLength"/>
    public int RunLength { get; }

    /// <summary>The kernels for a format.</summary>
    public static KvKernels Load<TKv>(Accelerator accelerator, KernelClock clock, KvType type)
        where TKv : unmanaged, IKvFormat => new(
            () => accelerator.LoadAutoGroupedKernel<Index1D, Bytes, Ints, Ints, Floats, Floats, KvLayer>(AttentionKernels.Store<TKv>),
            () => accelerator.LoadKernel<Bytes, Ints, Ints, Floats, Floats, Floats, KvLayer, AttentionOptions>(AttentionKernels.Attend<TKv>),
            () => accelerator.LoadKernel<Bytes, Ints, Ints, Ints, Floats, Floats, Floats, KvLayer, AttentionOptions>(
                TileAttentionKernels.Attend<TKv>),
            default(TKv).RunLength, clock, $"{type}");

    private TKernel Next<TKernel>(Lazy<TKernel> kernel, [CallerMemberName] string name = "")
    {
        _clock.Next(name, _format);
        return kernel.Value;
    }
}
