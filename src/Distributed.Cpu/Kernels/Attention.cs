using System.Runtime.CompilerServices;
using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Causal attention with a running softmax (Milakov and Gimelshein 2018) over the blocks of the KV cache. A query takes whole
/// blocks one after the other, wherever its token stands in the batch, so its sums have one order. Queries that share a key head
/// are worked on together, so that a block is read and converted once for all of them.
/// </summary>
internal static unsafe class Attention<T>
    where T : struct, ILanes<T>
{
    /// <summary>The largest head there is room for.</summary>
    public const int MaxHeadDim = ModelConfig.MaxHeadDim;

    /// <summary>The most queries worked on together.</summary>
    public const int QueryTile = 32;

    private const int BlockTokens = StageSpec.KvBlockTokens;

    /// <summary>The queries of some consecutive tokens of a slice that share a key head.</summary>
    /// <param name="kv">The cache.</param>
    /// <param name="layer">The layer.</param>
    /// <param name="slice">The sequence.</param>
    /// <param name="shape">The shape.</param>
    /// <param name="sinks">A score per head without a key; null for none.</param>
    /// <param name="kvHead">The key head.</param>
    /// <param name="firstHead">The first query head.</param>
    /// <param name="heads">Query heads.</param>
    /// <param name="firstToken">The first token, counted from the slice's start.</param>
    /// <param name="tokens">Tokens; times <paramref name="heads"/> at most <see cref="QueryTile"/>.</param>
    /// <param name="queries">Row of the slice's first token.</param>
    /// <param name="output">Row of the slice's first token.</param>
    [SkipLocalsInit]
    public static void Tile(
        CpuKv kv, int layer, BatchSlice slice, AttentionShape shape, float* sinks, int kvHead, int firstHead, int heads, int firstToken,
        int tokens, float* queries, float* output)
    {
        var headDim = shape.HeadDim;
        var buffer = stackalloc float[kv.Type == KvType.F32 ? 1 : BlockTokens * headDim];
        var weights = stackalloc float[QueryTile * BlockTokens];
        var softmax = stackalloc Softmax[QueryTile];
        var rowStride = shape.NumHeads * headDim;
        var count = heads * tokens;
        for (var i = 0; i < count; i++)
        {
            softmax[i] = sinks is null
                ? new Softmax { Largest = float.NegativeInfinity }
                : new Softmax { Largest = sinks[firstHead + (i % heads)], Sum = 1 };
            new Span<float>(output + Offset(i), headDim).Clear();
        }
        var end = slice.Start + firstToken + tokens;
        var firstSeen = First(0, 0);
        for (var start = firstSeen / BlockTokens * BlockTokens; start < end; start += BlockTokens)
        {
            var held = Math.Min(BlockTokens, end - start);
            var at = (slice.BlockTable[start / BlockTokens] * kv.BlockBytes) + (kvHead * kv.HeadBytes);
            var keys = KvRows<T>.Read(kv.Type, kv.Keys(layer) + at, held, headDim, buffer);
            for (var i = 0; i < count; i++)
                Weigh(queries + Offset(i), keys, First(i, start), Seen(i, start), shape, ref softmax[i], weights + (i * BlockTokens));
            var values = KvRows<T>.Read(kv.Type, kv.Values(layer) + at, held, headDim, buffer);
            for (var i = 0; i < count; i++)
            {
                Gather(
                    output + Offset(i), values, First(i, start), Seen(i, start), headDim, softmax[i].Rescale, weights + (i * BlockTokens));
            }
        }
        for (var i = 0; i < count; i++)
        {
            var row = output + Offset(i);
            var inverse = T.Create(1 / softmax[i].Sum);
            for (var column = 0; column < headDim; column += Lanes.Count)
                LanesMath<T>.Store(LanesMath<T>.Load(row + column, headDim - column) * inverse, row + column, headDim - column);
        }

        long Offset(int query) => ((long)(firstToken + (query / heads)) * rowStride) + ((firstHead + (query % heads)) * headDim);

        // The end of the block's keys at or before the query's own position, and the first of them in its window.
        int Seen(int query, int start) => Math.Min(BlockTokens, slice.Start + firstToken + (query / heads) + 1 - start);
        int First(int query, int start) =>
            shape.Window is { } window ? Math.Max(0, slice.Start + firstToken + (query / heads) + 1 - window - start) : 0;
    }

    /// <summary>Turns a block's scores into weights relative to the largest score so far.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Weigh(
        float* query, float* keys, int from, int count, AttentionShape shape, ref Softmax softmax, float* weights)
    {
        if (count <= from)
            return;
        for (var i = from; i < count; i++)
            weights[i] = LanesMath<T>.Dot(query, keys + ((long)i * shape.HeadDim), shape.HeadDim) * shape.Scale;
        if (shape.SoftCap is { } cap)
            Elementwise<T>.SoftCap(weights + from, cap, count - from);
        Fill(weights, from, count, float.NegativeInfinity);
        var first = T.Load(weights);
        var second = T.Load(weights + Lanes.Count);
        var largest = MathF.Max(softmax.Largest, T.Largest(T.Max(first, second)));
        T.Store(LanesMath<T>.Exp(first - T.Create(largest)), weights);
        T.Store(LanesMath<T>.Exp(second - T.Create(largest)), weights + Lanes.Count);
        Fill(weights, from, count, 0);
        softmax.Rescale = T.Largest(LanesMath<T>.Exp(T.Create(softmax.Largest - largest)));
        var sum = T.Sum(T.Load(weights) + T.Load(weights + Lanes.Count));
        softmax.Sum = MathF.FusedMultiplyAdd(softmax.Sum, softmax.Rescale, sum);
        softmax.Largest = largest;
    }

    /// <summary>Sets what is outside of the keys seen.</summary>
    private static void Fill(float* weights, int from, int count, float value)
    {
        new Span<float>(weights, from).Fill(value);
        new Span<float>(weights + count, BlockTokens - count).Fill(value);
    }

    /// <summary>output = output × rescale + Σ weight × value, position after position.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Gather(float* output, float* values, int from, int count, int headDim, float rescale, float* weights)
    {
        if (count <= from)
            return;
        var scale = T.Create(rescale);
        var column = 0;
        for (; column <= headDim - (4 * Lanes.Count); column += 4 * Lanes.Count)
        {
            var target = output + column;
            var a = T.Load(target) * scale;
            var b = T.Load(target + Lanes.Count) * scale;
            var c = T.Load(target + (2 * Lanes.Count)) * scale;
            var d = T.Load(target + (3 * Lanes.Count)) * scale;
            var row = values + ((long)from * headDim) + column;
            for (var i = from; i < count; i++, row += headDim)
            {
                var weight = T.Create(weights[i]);
                a = T.MultiplyAdd(weight, T.Load(row), a);
                b = T.MultiplyAdd(weight, T.Load(row + Lanes.Count), b);
                c = T.MultiplyAdd(weight, T.Load(row + (2 * Lanes.Count)), c);
                d = T.MultiplyAdd(weight, T.Load(row + (3 * Lanes.Count)), d);
            }
            T.Store(a, target);
            T.Store(b, target + Lanes.Count);
            T.Store(c, target + (2 * Lanes.Count));
            T.Store(d, target + (3 * Lanes.Count));
        }
        for (; column < headDim; column += Lanes.Count)
        {
            var width = headDim - column;
            var sum = LanesMath<T>.Load(output + column, width) * scale;
            for (var i = from; i < count; i++)
                sum = T.MultiplyAdd(T.Create(weights[i]), LanesMath<T>.Load(values + ((long)i * headDim) + column, width), sum);
            LanesMath<T>.Store(sum, output + column, width);
        }
    }

    private struct Softmax
    {
        public float Largest;
        public float Sum;
        public float Rescale;
    }
}
