using System.Runtime.CompilerServices;
using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Causal attention with a running softmax (Milakov and Gimelshein 2018) over the blocks of the KV cache. A query takes whole
/// blocks one after the other, wherever its token stands in the batch; within a block each of its scores and each of its outputs
/// is one chain of fused additions. So its sums have one order, whatever is worked on beside it, and with whatever vectors.
/// </summary>
internal static unsafe class Attention<T>
    where T : struct, ILanes<T>
{
    private const int BlockTokens = StageSpec.KvBlockTokens;
    private const int Alignment = 64;

    /// <summary>Attention of the queries of a tile.</summary>
    [SkipLocalsInit]
    public static void Run(in AttentionTile tile)
    {
        var headDim = tile.Shape.HeadDim;
        var blockSize = (BlockTokens * headDim) + Lanes.Count;
        var memory = stackalloc byte[Alignment + (blockSize * sizeof(float)) + AttentionState.Bytes(tile)];
        var buffer = (float*)(((nuint)memory + Alignment - 1) & ~(nuint)(Alignment - 1));
        var state = new AttentionState(tile, buffer + blockSize);

        var kv = tile.Kv;
        var keyBlocks = kv.Keys(tile.Layer, tile.KvHead);
        var valueBlocks = kv.Values(tile.Layer, tile.KvHead);
        var last = tile.Position(tile.Tokens - 1);
        var wasWhole = false; // seen by all queries, from its first key to its last
        for (var start = tile.FirstKey(0) / BlockTokens * BlockTokens; start <= last; start += BlockTokens)
        {
            var at = tile.Slice.BlockTable[start / BlockTokens] * kv.HeadBlockBytes;
            var isWhole = tile.FirstKey(tile.Tokens - 1) <= start && start + BlockTokens <= tile.Position(0) + 1;
            if (!isWhole || !wasWhole)
                state.See(tile, start);
            wasWhole = isWhole;
            var keys = KvBlocks<T>.ReadKeys(kv.Type, keyBlocks + at, headDim, buffer);
            var hasNext = start + BlockTokens <= last;
            var next = hasNext ? tile.Slice.BlockTable[(start / BlockTokens) + 1] * kv.HeadBlockBytes : 0;
            var nextBytes = hasNext ? kv.HeadBlockBytes : 0;
            AttentionScores<T>.Run(state, keys, new NextBlock(keyBlocks + next, nextBytes, state.Groups));
            AttentionWeights<T>.Run(state, tile.Shape.SoftCap);
            var values = KvBlocks<T>.ReadValues(kv.Type, valueBlocks + at, Math.Min(BlockTokens, last + 1 - start), headDim, buffer);
            AttentionValues<T>.Run(state, values, new NextBlock(valueBlocks + next, nextBytes, state.Groups));
        }
        AttentionWeights<T>.Finish(state);
    }
}
