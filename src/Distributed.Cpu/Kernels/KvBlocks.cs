using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// What one head has of a block of the KV cache. Values lie token after token. Keys lie transposed, [headDim][tokens], so that a
/// step of the scores multiplies one value of a query with a run of tokens and no lanes have to be summed; as q8_0, each 32 of
/// them are [32][tokens] bytes and a scale for each token.
/// </summary>
internal static unsafe class KvBlocks<T>
    where T : struct, ILanes<T>
{
    private const int Tokens = StageSpec.KvBlockTokens;
    private const int RunLength = 32;
    private const int ValueRunBytes = RunLength + sizeof(ushort);
    private const int KeyRunBytes = ValueRunBytes * Tokens;

    /// <summary>Writes the key of one token.</summary>
    /// <param name="type">The format.</param>
    /// <param name="source">[headDim]</param>
    /// <param name="headDim">Values per head.</param>
    /// <param name="block">The head's keys in the block.</param>
    /// <param name="token">The token's place in the block.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void WriteKey(KvType type, float* source, int headDim, byte* block, int token)
    {
        switch (type)
        {
            case KvType.F32:
                for (var i = 0; i < headDim; i++)
                    ((float*)block)[(i * Tokens) + token] = source[i];
                break;
            case KvType.F16:
                var halves = stackalloc Half[headDim];
                WriteHalves(source, headDim, halves);
                for (var i = 0; i < headDim; i++)
                    ((Half*)block)[(i * Tokens) + token] = halves[i];
                break;
            default:
                var bytes = stackalloc sbyte[RunLength];
                for (var i = 0; i < headDim; i += RunLength, block += KeyRunBytes)
                {
                    ((Half*)(block + (RunLength * Tokens)))[token] = Quantize(source + i, bytes);
                    for (var j = 0; j < RunLength; j++)
                        ((sbyte*)block)[(j * Tokens) + token] = bytes[j];
                }
                break;
        }
    }

    /// <summary>Writes the value of one token.</summary>
    /// <inheritdoc cref="WriteKey"/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void WriteValue(KvType type, float* source, int headDim, byte* block, int token)
    {
        block += type.Bytes(headDim) * token;
        switch (type)
        {
            case KvType.F32:
                new ReadOnlySpan<float>(source, headDim).CopyTo(new Span<float>(block, headDim));
                break;
            case KvType.F16:
                WriteHalves(source, headDim, (Half*)block);
                break;
            default:
                for (var i = 0; i < headDim; i += RunLength, block += ValueRunBytes)
                    MemoryMarshal.Write(new Span<byte>(block, sizeof(ushort)), Quantize(source + i, (sbyte*)block + sizeof(ushort)));
                break;
        }
    }

    /// <summary>All keys of a block as float32 [headDim][tokens]: in place where they are that already, else in <paramref name="buffer"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float* ReadKeys(KvType type, byte* block, int headDim, float* buffer)
    {
        if (type == KvType.F32)
            return (float*)block;
        if (type == KvType.F16)
            return ReadHalves(block, headDim * Tokens, buffer);
        var target = buffer;
        for (var i = 0; i < headDim; i += RunLength, block += KeyRunBytes)
        {
            var scales = (ushort*)(block + (RunLength * Tokens));
            var (first, second) = (T.LoadHalf(scales), T.LoadHalf(scales + Lanes.Count));
            var bytes = (sbyte*)block;
            for (var j = 0; j < RunLength; j++, bytes += Tokens, target += Tokens)
            {
                T.Store(T.LoadBytes(bytes) * first, target);
                T.Store(T.LoadBytes(bytes + Lanes.Count) * second, target + Lanes.Count);
            }
        }
        return buffer;
    }

    /// <summary>
    /// The values of a block's first tokens as float32 [tokens][headDim]: in place where they are that already, else in
    /// <paramref name="buffer"/>. Up to fifteen numbers behind the last may be read, and mean nothing.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float* ReadValues(KvType type, byte* block, int tokens, int headDim, float* buffer)
    {
        if (type == KvType.F32)
            return (float*)block;
        var count = tokens * headDim;
        if (type == KvType.F16)
            return ReadHalves(block, count, buffer);
        for (var i = 0; i < count; i += RunLength, block += ValueRunBytes)
        {
            var scale = T.Create(Halves.ToSingle(*(ushort*)block));
            T.Store(T.LoadBytes((sbyte*)block + sizeof(ushort)) * scale, buffer + i);
            T.Store(T.LoadBytes((sbyte*)block + sizeof(ushort) + Lanes.Count) * scale, buffer + i + Lanes.Count);
        }
        return buffer;
    }

    /// <summary>Sixteen at a time: a block has a multiple of sixteen values, whatever the size of its heads.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float* ReadHalves(byte* source, int count, float* buffer)
    {
        if (T.Registers <= 2 && AssembledHalves.ToSingles is not null)
        {
            AssembledHalves.ToSingles((ushort*)source, buffer, count);
            return buffer;
        }
        for (var i = 0; i < count; i += Lanes.Count)
            T.Store(T.LoadHalf((ushort*)source + i), buffer + i);
        return buffer;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WriteHalves(float* source, int count, Half* target)
    {
        var i = 0;
        if (T.Registers <= 2 && AssembledHalves.ToHalves is not null)
        {
            i = count / Lanes.Count * Lanes.Count;
            AssembledHalves.ToHalves(source, (ushort*)target, i);
        }
        for (; i < count; i++)
            target[i] = (Half)source[i];
    }

    /// <summary>Rounds 32 values to bytes and returns their scale.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static Half Quantize(float* source, sbyte* target)
    {
        var first = T.Load(source);
        var second = T.Load(source + Lanes.Count);
        var largest = T.Largest(T.Max(T.Abs(first), T.Abs(second)));
        var inverse = T.Create(largest < 1e-30f ? 0 : 127 / largest);
        T.StoreBytes(T.Round(first * inverse), target);
        T.StoreBytes(T.Round(second * inverse), target + Lanes.Count);
        return (Half)(largest / 127);
    }
}
