using Distributed.Core;
using Distributed.Gpu.Formats;
using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>What the kernels of attention and of the KV cache know of a layer.</summary>
/// <param name="Layer">The first byte of the layer's keys.</param>
/// <param name="HeadBytes">Bytes of a head's keys (or values) in all blocks.</param>
/// <param name="BlockBytes">Bytes of a head's keys (or values) in a block.</param>
/// <param name="KvHeads">Heads of keys and values.</param>
/// <param name="HeadDim">Values per head.</param>
public readonly record struct KvLayer(long Layer, long HeadBytes, long BlockBytes, int KvHeads, int HeadDim)
{
    /// <summary>The first byte of a head's keys in a block.</summary>
    public long Keys(int head, int block) => Layer + (head * HeadBytes) + (block * BlockBytes);

    /// <summary>The first byte of a head's values in a block.</summary>
    public long Values(int head, int block) => Keys(KvHeads + head, block);
}

/// <summary>The rest of what attention is told.</summary>
/// <param name="Heads">Query heads.</param>
/// <param name="Scale">What q·k is multiplied by.</param>
/// <param name="Window">Keys that a query sees; the largest int for all.</param>
/// <param name="SoftCap">The cap of scores; 0 for none.</param>
/// <param name="HasSinks">0 when there are none.</param>
/// <param name="Parts">Groups that share a query's chunks, each one chunk; 1 for one group that takes all.</param>
public readonly record struct AttentionOptions(int Heads, float Scale, int Window, float SoftCap, int HasSinks, int Parts);

/// <summary>
/// Attention over the block table with a running softmax (Milakov and Gimelshein 2018). Keys are taken in chunks that begin at multiples
/// of <see cref="ChunkTokens"/>: each gives its largest score, the sum of its weights and their sum of values, and chunks are merged in
/// order. One group may do so for all chunks, or a group each and a second kernel behind: the bits are the same.
/// </summary>
public static class AttentionKernels
{
    /// <summary>Keys in a chunk.</summary>
    public const int ChunkTokens = 4 * StageSpec.KvBlockTokens;

    private const int MaxThreads = 256;

    /// <summary>Writes keys and values into the cache: a thread for each run of them.</summary>
    /// <param name="index">[tokens, runs of all heads]</param>
    /// <param name="kv">The cache.</param>
    /// <param name="steps">Of each token its position and where its block table begins.</param>
    /// <param name="tables">The block tables.</param>
    /// <param name="keys">[tokens, kvHeads × headDim]</param>
    /// <param name="values">[tokens, kvHeads × headDim]</param>
    /// <param name="layer">The layer.</param>
    [Kernel]
    public static void Store<TKv>(
        Index1D index, ArrayView<byte> kv, ArrayView<int> steps, ArrayView<int> tables, ArrayView<float> keys, ArrayView<float> values,
        KvLayer layer)
        where TKv : unmanaged, IKvFormat
    {
        var format = default(TKv);
        var runs = layer.HeadDim / format.RunLength;
        int token = index / (runs * layer.KvHeads);
        int head = index / runs % layer.KvHeads;
        int i = index % runs * format.RunLength;
        var position = steps[2 * token];
        var block = tables[steps[(2 * token) + 1] + (position / StageSpec.KvBlockTokens)];
        var place = position % StageSpec.KvBlockTokens;
        var source = ((((long)token * layer.KvHeads) + head) * layer.HeadDim) + i;
        format.WriteKey(kv, layer.Keys(head, block), place, i, keys, source);
        format.WriteValue(kv, layer.Values(head, block), layer.HeadDim, place, i, values, source);
    }

    /// <summary>A group for each token, head and part.</summary>
    /// <param name="kv">The cache.</param>
    /// <param name="steps">Of each token its position and where its block table begins.</param>
    /// <param name="tables">The block tables.</param>
    /// <param name="queries">[tokens, heads × headDim]</param>
    /// <param name="sinks">[heads]</param>
    /// <param name="output">
    /// [tokens, heads × headDim]; with parts [tokens, heads, parts, headDim + 2]: a chunk's sum of values, its largest score, its sum
    /// of weights.
    /// </param>
    /// <param name="layer">The layer.</param>
    /// <param name="options">The rest.</param>
    [Kernel]
    public static void Attend<TKv>(
        ArrayView<byte> kv, ArrayView<int> steps, ArrayView<int> tables, ArrayView<float> queries, ArrayView<float> sinks,
        ArrayView<float> output, KvLayer layer, AttentionOptions options)
        where TKv : unmanaged, IKvFormat
    {
        var format = default(TKv);
        var query = SharedMemory.Allocate<float>(ModelConfig.MaxHeadDim);
        var sums = SharedMemory.Allocate<float>(ModelConfig.MaxHeadDim);
        var weights = SharedMemory.Allocate<float>(ChunkTokens);
        var maxima = SharedMemory.Allocate<float>(MaxThreads);

        var part = Grid.IdxX % options.Parts;
        var head = Grid.IdxX / options.Parts % options.Heads;
        var token = Grid.IdxX / options.Parts / options.Heads;
        var headDim = layer.HeadDim;
        var kvHead = head / (options.Heads / layer.KvHeads);
        var position = steps[2 * token];
        var table = steps[(2 * token) + 1];
        var at = (((long)token * options.Heads) + head) * headDim;
        var firstKey = options.Window > position ? 0 : position - options.Window + 1;
        var firstChunk = (firstKey / ChunkTokens) + (options.Parts > 1 ? part : 0);
        var endChunk = options.Parts > 1 ? Math.Min(firstChunk + 1, (position / ChunkTokens) + 1) : (position / ChunkTokens) + 1;

        for (var i = Group.IdxX; i < headDim; i += Group.DimX)
        {
            query[i] = queries[at + i] * options.Scale;
            sums[i] = 0;
        }
        var largest = float.NegativeInfinity;
        var total = 0f;
        if (options.HasSinks != 0 && options.Parts == 1)
            (largest, total) = (sinks[head], 1);
        Group.Barrier();

        for (var chunk = firstChunk; chunk < endChunk; chunk++)
        {
            var start = Math.Max(chunk * ChunkTokens, firstKey);
            var end = Math.Min((chunk + 1) * ChunkTokens, position + 1);
            var ownLargest = float.NegativeInfinity;
            for (var key = start + Group.IdxX; key < end; key += Group.DimX)
            {
                var block = layer.Keys(kvHead, tables[table + (key / StageSpec.KvBlockTokens)]);
                var score = 0f;
                for (var i = 0; i < headDim; i++)
                    score = Fused.MultiplyAdd(query[i], format.Key(kv, block, key % StageSpec.KvBlockTokens, i), score);
                if (options.SoftCap != 0)
                    score = options.SoftCap * DeviceMath.Tanh(score / options.SoftCap);
                weights[key - start] = score;
                ownLargest = Math.Max(ownLargest, score);
            }
            maxima[Group.IdxX] = ownLargest;
            Group.Barrier();
            var chunkLargest = float.NegativeInfinity;
            for (var i = 0; i < Group.DimX; i++)
                chunkLargest = Math.Max(chunkLargest, maxima[i]);
            for (var key = Group.IdxX; key < end - start; key += Group.DimX)
                weights[key] = DeviceMath.Exp(weights[key] - chunkLargest);
            Group.Barrier();

            var chunkTotal = 0f;
            for (var key = 0; key < end - start; key++)
                chunkTotal += weights[key];
            var merged = Math.Max(largest, chunkLargest);
            var (before, now) = (DeviceMath.Exp(largest - merged), DeviceMath.Exp(chunkLargest - merged));
            for (var i = Group.IdxX; i < headDim; i += Group.DimX)
            {
                var sum = 0f;
                for (var key = start; key < end; key++)
                {
                    var block = layer.Values(kvHead, tables[table + (key / StageSpec.KvBlockTokens)]);
                    sum = Fused.MultiplyAdd(weights[key - start], format.Value(kv, block, headDim, key % StageSpec.KvBlockTokens, i), sum);
                }
                sums[i] = options.Parts > 1 ? sum : Merge(sums[i], before, sum, now);
            }
            total = options.Parts > 1 ? chunkTotal : Merge(total, before, chunkTotal, now);
            largest = merged;
            // Weights and maxima are written anew in the next chunk.
            Group.Barrier();
        }

        if (options.Parts == 1)
        {
            for (var i = Group.IdxX; i < headDim; i += Group.DimX)
                output[at + i] = sums[i] / total;
            return;
        }
        at = (long)Grid.IdxX * (headDim + 2);
        for (var i = Group.IdxX; i < headDim; i += Group.DimX)
            output[at + i] = sums[i];
        if (Group.IdxX == 0)
        {
            output[at + headDim] = largest;
            output[at + headDim + 1] = total;
        }
    }

    /// <summary>Merges the chunks that groups of <see cref="Attend{TKv}"/> left: a group for each token and head.</summary>
    /// <param name="parts">[tokens, heads, parts, headDim + 2]; a chunk behind the last has no weight and −∞ as its largest score.</param>
    /// <param name="sinks">[heads]</param>
    /// <param name="output">[tokens, heads × headDim]</param>
    /// <param name="headDim">Values per head.</param>
    /// <param name="options">The options that the parts were made with.</param>
    [Kernel]
    public static void MergeParts(
        ArrayView<float> parts, ArrayView<float> sinks, ArrayView<float> output, int headDim, AttentionOptions options)
    {
        for (var i = Group.IdxX; i < headDim; i += Group.DimX)
        {
            var largest = float.NegativeInfinity;
            var (sum, total) = (0f, 0f);
            if (options.HasSinks != 0)
                (largest, total) = (sinks[Grid.IdxX % options.Heads], 1);
            for (var part = 0; part < options.Parts; part++)
            {
                var at = (((long)Grid.IdxX * options.Parts) + part) * (headDim + 2);
                var partLargest = parts[at + headDim];
                if (partLargest == float.NegativeInfinity)
                    break;
                var merged = Math.Max(largest, partLargest);
                var (before, now) = (DeviceMath.Exp(largest - merged), DeviceMath.Exp(partLargest - merged));
                sum = Merge(sum, before, parts[at + i], now);
                total = Merge(total, before, parts[at + headDim + 1], now);
                largest = merged;
            }
            output[((long)Grid.IdxX * headDim) + i] = sum / total;
        }
    }

    /// <summary>Two chunks as one: each sum times what its largest score is less than the largest of both.</summary>
    internal static float Merge(float before, float factor, float now, float nowFactor) =>
        Fused.MultiplyAdd(before, factor, now * nowFactor);
}
