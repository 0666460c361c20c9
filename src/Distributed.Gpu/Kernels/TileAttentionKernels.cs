using System.Runtime.InteropServices;
using Distributed.Core;
using Distributed.Gpu.Formats;
using ILGPU;
using ILGPU.Runtime;

namespace Distributed.Gpu.Kernels;

/// <summary>Four values that are loaded at once.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
public readonly record struct Floats4(float X, float Y, float Z, float W)
{
    /// <summary>Adds a value times four factors.</summary>
    public Floats4 Plus(Floats4 factors, float value) => new(
        Fused.MultiplyAdd(factors.X, value, X), Fused.MultiplyAdd(factors.Y, value, Y), Fused.MultiplyAdd(factors.Z, value, Z),
        Fused.MultiplyAdd(factors.W, value, W));
}

/// <summary>
/// The attention of <see cref="AttentionKernels"/> for many queries of one sequence, to the same bits: they share the keys and values
/// of a block, which are read and unpacked into shared memory once for all of them.
/// </summary>
public static class TileAttentionKernels
{
    /// <summary>Queries in a tile: tokens that follow each other, of one head.</summary>
    public const int TileQueries = 16;

    /// <summary>The largest head whose tiles fit into shared memory.</summary>
    public const int MaxHeadDim = 128;

    private const int Quads = TileQueries / 4;
    private const int ChunkTokens = AttentionKernels.ChunkTokens;
    private const int BlockTokens = StageSpec.KvBlockTokens;

    /// <summary>A group for each tile and head.</summary>
    /// <param name="kv">The cache.</param>
    /// <param name="steps">Of each token its position and where its block table begins.</param>
    /// <param name="tables">The block tables.</param>
    /// <param name="tiles">Of each tile the first token, and how many.</param>
    /// <param name="queries">[tokens, heads × headDim]</param>
    /// <param name="sinks">[heads]</param>
    /// <param name="output">[tokens, heads × headDim]</param>
    /// <param name="layer">The layer; its heads are at most <see cref="MaxHeadDim"/>.</param>
    /// <param name="options">The rest; parts are of no account.</param>
    [Kernel]
    public static void Attend<TKv>(
        ArrayView<byte> kv, ArrayView<int> steps, ArrayView<int> tables, ArrayView<int> tiles, ArrayView<float> queries,
        ArrayView<float> sinks, ArrayView<float> output, KvLayer layer, AttentionOptions options)
        where TKv : unmanaged, IKvFormat
    {
        var query = SharedMemory.Allocate<float>(MaxHeadDim * TileQueries);
        var block = SharedMemory.Allocate<float>(MaxHeadDim * BlockTokens);
        var sums = SharedMemory.Allocate<Floats4>(MaxHeadDim * Quads);
        var weights = SharedMemory.Allocate<float>(ChunkTokens * TileQueries);
        var largest = SharedMemory.Allocate<float>(TileQueries);
        var totals = SharedMemory.Allocate<float>(TileQueries);
        var chunkLargest = SharedMemory.Allocate<float>(TileQueries);
        var before = SharedMemory.Allocate<float>(TileQueries);
        var now = SharedMemory.Allocate<float>(TileQueries);
        var queryQuads = query.Cast<Floats4>().AsAligned(16);
        var weightQuads = weights.Cast<Floats4>().AsAligned(16);

        var format = default(TKv);
        var headDim = layer.HeadDim;
        var head = Grid.IdxX % options.Heads;
        var first = tiles[Grid.IdxX / options.Heads * 2];
        var count = tiles[(Grid.IdxX / options.Heads * 2) + 1];
        var kvHead = head / (options.Heads / layer.KvHeads);
        var position = steps[2 * first];
        var table = steps[(2 * first) + 1];
        var lastPosition = position + count - 1;
        var firstKey = FirstKey(position, options.Window);

        for (var i = Group.IdxX; i < headDim * TileQueries; i += Group.DimX)
        {
            // Places behind the last query repeat it; what they come to goes nowhere.
            var from = At(first + Math.Min(i % TileQueries, count - 1), head, headDim, options);
            query[i] = queries[from + (i / TileQueries)] * options.Scale;
        }
        for (var i = Group.IdxX; i < headDim * count; i += Group.DimX)
            output[At(first + (i / headDim), head, headDim, options) + (i % headDim)] = 0;
        for (var i = Group.IdxX; i < TileQueries; i += Group.DimX)
        {
            largest[i] = options.HasSinks != 0 ? sinks[head] : float.NegativeInfinity;
            totals[i] = options.HasSinks != 0 ? 1 : 0;
        }
        Group.Barrier();

        for (var chunk = firstKey / ChunkTokens * ChunkTokens; chunk <= lastPosition; chunk += ChunkTokens)
        {
            var start = Math.Max(chunk, firstKey) / BlockTokens * BlockTokens;
            var end = Math.Min(chunk + ChunkTokens, lastPosition + 1);
            for (var at = start; at < end; at += BlockTokens)
            {
                var keys = layer.Keys(kvHead, tables[table + (at / BlockTokens)]);
                for (var i = Group.IdxX; i < headDim * BlockTokens; i += Group.DimX)
                    block[i] = format.Key(kv, keys, i % BlockTokens, i / BlockTokens);
                Group.Barrier();
                for (var item = Group.IdxX; item < BlockTokens * Quads; item += Group.DimX)
                {
                    var (key, quad) = (item % BlockTokens, item / BlockTokens);
                    var scores = default(Floats4);
                    for (var i = 0; i < headDim; i++)
                        scores = scores.Plus(queryQuads[(i * Quads) + quad], block[(i * BlockTokens) + key]);
                    weightQuads[((at - chunk + key) * Quads) + quad] = Capped(scores, options.SoftCap);
                }
                // The next keys take the place of these.
                Group.Barrier();
            }

            for (var i = Group.IdxX; i < TileQueries; i += Group.DimX)
            {
                var most = float.NegativeInfinity;
                var (from, to) = Range(chunk, position + Math.Min(i, count - 1), options.Window);
                for (var key = from; key < to; key++)
                    most = Math.Max(most, weights[(key * TileQueries) + i]);
                chunkLargest[i] = most;
            }
            Group.Barrier();
            for (var i = ((start - chunk) * TileQueries) + Group.IdxX; i < (end - chunk) * TileQueries; i += Group.DimX)
            {
                var (key, place) = (i / TileQueries, i % TileQueries);
                var (from, to) = Range(chunk, position + Math.Min(place, count - 1), options.Window);
                weights[i] = key >= from && key < to ? DeviceMath.Exp(weights[i] - chunkLargest[place]) : 0;
            }
            for (var i = Group.IdxX; i < headDim * Quads; i += Group.DimX)
                sums[i] = default;
            Group.Barrier();
            for (var i = Group.IdxX; i < TileQueries; i += Group.DimX)
            {
                var total = 0f;
                var (from, to) = Range(chunk, position + Math.Min(i, count - 1), options.Window);
                for (var key = from; key < to; key++)
                    total += weights[(key * TileQueries) + i];
                // A query that sees no key of the chunk has no part in it.
                var merged = Math.Max(largest[i], chunkLargest[i]);
                before[i] = from < to ? DeviceMath.Exp(largest[i] - merged) : 1;
                now[i] = from < to ? DeviceMath.Exp(chunkLargest[i] - merged) : 0;
                totals[i] = AttentionKernels.Merge(totals[i], before[i], total, now[i]);
                largest[i] = merged;
            }

            for (var at = start; at < end; at += BlockTokens)
            {
                var values = layer.Values(kvHead, tables[table + (at / BlockTokens)]);
                for (var i = Group.IdxX; i < headDim * BlockTokens; i += Group.DimX)
                    block[i] = format.Value(kv, values, headDim, i / headDim, i % headDim);
                Group.Barrier();
                for (var item = Group.IdxX; item < headDim * Quads; item += Group.DimX)
                {
                    var (i, quad) = (item % headDim, item / headDim);
                    var sum = sums[item];
                    var keys = Math.Min(BlockTokens, end - at);
                    for (var key = 0; key < keys; key++)
                        sum = sum.Plus(weightQuads[((at - chunk + key) * Quads) + quad], block[(key * headDim) + i]);
                    sums[item] = sum;
                }
                Group.Barrier();
            }
            for (var item = Group.IdxX; item < headDim * Quads; item += Group.DimX)
            {
                var (i, place, sum) = (item % headDim, item / headDim * 4, sums[item]);
                Add(output, first, count, place, head, headDim, i, options, sum.X, before, now);
                Add(output, first, count, place + 1, head, headDim, i, options, sum.Y, before, now);
                Add(output, first, count, place + 2, head, headDim, i, options, sum.Z, before, now);
                Add(output, first, count, place + 3, head, headDim, i, options, sum.W, before, now);
            }
            // Others may have written what the end reads; sums, weights and factors are written anew in the next chunk.
            Group.Barrier();
        }
        for (var i = Group.IdxX; i < headDim * count; i += Group.DimX)
            output[At(first + (i / headDim), head, headDim, options) + (i % headDim)] /= totals[i / headDim];
    }

    private static long At(int token, int head, int headDim, AttentionOptions options) => (((long)token * options.Heads) + head) * headDim;

    private static int FirstKey(int position, int window) => window > position ? 0 : position - window + 1;

    // The keys of a chunk that a query sees, counted from the chunk's first.
    private static (int From, int To) Range(int chunk, int position, int window) =>
        (Math.Max(FirstKey(position, window) - chunk, 0), Math.Min(position + 1 - chunk, ChunkTokens));

    private static Floats4 Capped(Floats4 scores, float cap) => cap == 0
        ? scores
        : new(Capped(scores.X, cap), Capped(scores.Y, cap), Capped(scores.Z, cap), Capped(scores.W, cap));

    private static float Capped(float score, float cap) => cap * DeviceMath.Tanh(score / cap);

    private static void Add(
        ArrayView<float> output, int first, int count, int place, int head, int headDim, int i, AttentionOptions options, float sum,
        ArrayView<float> before, ArrayView<float> now)
    {
        if (place >= count)
            return;
        var at = At(first + place, head, headDim, options) + i;
        output[at] = AttentionKernels.Merge(output[at], before[place], sum, now[place]);
    }
}
