using Distributed.Core;
using ILGPU;

namespace Distributed.Gpu;

/// <summary>A float32 matrix in a device's memory, row after row.</summary>
internal sealed class GpuActivations(int rows, int columns, ArrayView<byte> memory, IDisposable? apart) : Activations(rows, columns)
{
    /// <summary>All values.</summary>
    public ArrayView<float> Values { get; } = memory.Cast<float>();

    /// <inheritdoc/>
    public override void Dispose() => apart?.Dispose();
}

/// <summary>A weight's copy in a device's memory, in as many bytes as in its file.</summary>
internal sealed class GpuWeight(Tensor tensor, ArrayView<byte> memory, IDisposable? apart, FormatKernels kernels, Int8Kernels? int8) : Weight(tensor)
{
    /// <summary>All rows.</summary>
    public ArrayView<byte> Bytes { get; } = memory;

    /// <summary>The values of a float32 weight.</summary>
    public ArrayView<float> Floats { get; } = memory.Cast<float>();

    /// <summary>The kernels for its format.</summary>
    public FormatKernels Kernels { get; } = kernels;

    /// <summary>The kernels that multiply it as bytes; null when values are unpacked to float32.</summary>
    public Int8Kernels? Int8 { get; } = int8;

    /// <summary>Gives its memory back, where that is its own.</summary>
    public void Unload() => apart?.Dispose();
}

/// <summary>Keys and values in a device's memory: [layer][keys, values][kvHead][block].</summary>
internal sealed class GpuKv(KvType type, int layers, int blocks, AttentionShape shape, ArrayView<byte> memory, IDisposable? apart) : KvStore
{
    /// <summary>The format.</summary>
    public KvType Type { get; } = type;

    /// <summary>Its bytes.</summary>
    public ArrayView<byte> Memory { get; } = memory;

    /// <inheritdoc/>
    public override long Bytes { get; } = SizeOf(type, layers, blocks, shape);

    /// <summary>Bytes it takes.</summary>
    public static long SizeOf(KvType type, int layers, int blocks, AttentionShape shape) =>
        checked(2L * layers * shape.NumKvHeads * blocks * type.Bytes(shape.HeadDim) * StageSpec.KvBlockTokens);

    /// <summary>Where a layer's keys and values lie.</summary>
    public Kernels.KvLayer Layer(int layer)
    {
        var blockBytes = Type.Bytes(shape.HeadDim) * StageSpec.KvBlockTokens;
        var headBytes = blockBytes * blocks;
        return new(layer * headBytes * shape.NumKvHeads * 2, headBytes, blockBytes, shape.NumKvHeads, shape.HeadDim);
    }

    /// <inheritdoc/>
    public override void Dispose() => apart?.Dispose();
}

/// <summary>The choices of a step in a device's memory; the host never learns them.</summary>
internal sealed class GpuExpertChoices(int experts, int perToken, ArrayView<byte> chosen, ArrayView<byte> weights)
    : ExpertChoices(experts, perToken)
{
    /// <summary>[tokens, perToken]: experts.</summary>
    public ArrayView<int> Chosen { get; } = chosen.Cast<int>();

    /// <summary>[tokens, perToken]</summary>
    public ArrayView<float> Weights { get; } = weights.Cast<float>();

    /// <summary>Choices of the step's tokens.</summary>
    public int Count { get; set; }
}
