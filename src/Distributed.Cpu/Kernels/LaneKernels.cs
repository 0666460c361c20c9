using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>The kernels that are written once in <see cref="ILanes{T}"/>, for one width of vectors.</summary>
internal abstract unsafe class LaneKernels
{
    /// <summary>The widest there are instructions for.</summary>
    public static LaneKernels For(InstructionSets instructions) => instructions switch
    {
        _ when instructions.HasFlag(InstructionSets.Avx512) => new LaneKernels<Lanes512>(),
        _ when instructions.HasFlag(InstructionSets.Avx2) => new LaneKernels<Lanes256>(),
        _ when instructions.HasFlag(InstructionSets.Vector128) => new LaneKernels<Lanes128>(),
        _ => new LaneKernels<LanesScalar>(),
    };

    /// <inheritdoc cref="RmsNorm{T}.Row"/>
    public abstract void RmsNorm(float* x, float* weight, float eps, int count, float* y);

    /// <inheritdoc cref="LayerNorm{T}.Row"/>
    public abstract void LayerNorm(float* x, float* weight, float* bias, float eps, int count, float* y);

    /// <inheritdoc cref="Elementwise{T}.AddScaled"/>
    public abstract void AddScaled(float* source, float scale, float* target, int count);

    /// <inheritdoc cref="Elementwise{T}.Scale"/>
    public abstract void Scale(float* values, float factor, int count);

    /// <inheritdoc cref="Elementwise{T}.SoftCap"/>
    public abstract void SoftCap(float* values, float cap, int count);

    /// <inheritdoc cref="Int8Input.Quantize{T}"/>
    public abstract void Quantize(in Int8Input input, float* row, int columns, int token, int tokens, ReadOnlySpan<InputTerms> kinds);

    /// <inheritdoc cref="ActivationFunctions{T}.Run"/>
    public abstract void Activate(Activation activation, float* gate, float* up, int count);

    /// <inheritdoc cref="KvBlocks{T}.WriteKey"/>
    public abstract void WriteKey(KvType type, float* source, int headDim, byte* block, int token);

    /// <inheritdoc cref="KvBlocks{T}.WriteValue"/>
    public abstract void WriteValue(KvType type, float* source, int headDim, byte* block, int token);

    /// <inheritdoc cref="Attention{T}.Run"/>
    public abstract void Attention(in AttentionTile tile);
}

/// <inheritdoc/>
/// <typeparam name="T">The lanes.</typeparam>
internal sealed unsafe class LaneKernels<T> : LaneKernels
    where T : struct, ILanes<T>
{
    /// <inheritdoc/>
    public override void RmsNorm(float* x, float* weight, float eps, int count, float* y) =>
        RmsNorm<T>.Row(x, weight, eps, count, y);

    /// <inheritdoc/>
    public override void LayerNorm(float* x, float* weight, float* bias, float eps, int count, float* y) =>
        LayerNorm<T>.Row(x, weight, bias, eps, count, y);

    /// <inheritdoc/>
    public override void AddScaled(float* source, float scale, float* target, int count) =>
        Elementwise<T>.AddScaled(source, scale, target, count);

    /// <inheritdoc/>
    public override void Scale(float* values, float factor, int count) => Elementwise<T>.Scale(values, factor, count);

    /// <inheritdoc/>
    public override void SoftCap(float* values, float cap, int count) => Elementwise<T>.SoftCap(values, cap, count);

    /// <inheritdoc/>
    public override void Quantize(in Int8Input input, float* row, int columns, int token, int tokens, ReadOnlySpan<InputTerms> kinds) =>
        input.Quantize<T>(row, columns, token, tokens, kinds);

    /// <inheritdoc/>
    public override void Activate(Activation activation, float* gate, float* up, int count) =>
        ActivationFunctions<T>.Run(activation, gate, up, count);

    /// <inheritdoc/>
    public override void WriteKey(KvType type, float* source, int headDim, byte* block, int token) =>
        KvBlocks<T>.WriteKey(type, source, headDim, block, token);

    /// <inheritdoc/>
    public override void WriteValue(KvType type, float* source, int headDim, byte* block, int token) =>
        KvBlocks<T>.WriteValue(type, source, headDim, block, token);

    /// <inheritdoc/>
    public override void Attention(in AttentionTile tile) => Attention<T>.Run(tile);
}
