using Distributed.Core;
using Distributed.Cpu.Kernels;

namespace Distributed.Cpu;

/// <summary>Writes keys and values into the cache, split by slice and key head: none writes where another does.</summary>
internal readonly unsafe struct StoreKvWork(
    LaneKernels kernels, CpuKv kv, int layer, Batch batch, Activations keys, Activations values) : IParallelWork
{
    private readonly int _heads = keys.Columns / kv.HeadDim;

    public int Chunks => batch.Slices.Count * _heads;

    public void Run(int chunk)
    {
        var (index, head) = Math.DivRem(chunk, _heads);
        var slice = batch.Slices[index];
        var keyBlocks = kv.Keys(layer, head);
        var valueBlocks = kv.Values(layer, head);
        for (var i = 0; i < slice.Count; i++)
        {
            var (block, token) = Math.DivRem(slice.Start + i, StageSpec.KvBlockTokens);
            var at = slice.BlockTable[block] * kv.HeadBlockBytes;
            var key = CpuBackend.Row(keys, slice.Offset + i) + (head * kv.HeadDim);
            var value = CpuBackend.Row(values, slice.Offset + i) + (head * kv.HeadDim);
            kernels.WriteKey(kv.Type, key, kv.HeadDim, keyBlocks + at, token);
            kernels.WriteValue(kv.Type, value, kv.HeadDim, valueBlocks + at, token);
        }
    }
}

/// <summary>Attention, split by key head and runs of tokens.</summary>
internal readonly unsafe struct AttentionWork : IParallelWork
{
    private readonly LaneKernels _kernels;
    private readonly CpuKv _kv;
    private readonly int _layer;
    private readonly Batch _batch;
    private readonly AttentionShape _shape;
    private readonly Weight? _sinks;
    private readonly Activations _queries;
    private readonly Activations _output;
    private readonly int _heads;
    private readonly int _headTiles;
    private readonly int _tokens;

    public AttentionWork(
        LaneKernels kernels, CpuKv kv, int layer, Batch batch, AttentionShape shape, Weight? sinks, Activations queries,
        Activations output)
    {
        (_kernels, _kv, _layer, _batch, _shape, _sinks, _queries, _output) =
            (kernels, kv, layer, batch, shape, sinks, queries, output);
        var group = shape.NumHeads / shape.NumKvHeads;
        var most = AttentionTile.MaxQueries(shape.HeadDim);
        _heads = Math.Min(group, most);
        _headTiles = Cpu.Chunks.Count(group, _heads);
        _tokens = most / _heads;
        var keys = 0L;
        foreach (var slice in batch.Slices)
        {
            Chunks += Tiles(slice);
            keys += (long)slice.Count * (slice.Start + slice.Count);
        }
        WorthSharing = keys * queries.Columns > 4 * Cpu.Chunks.Values;
    }

    public int Chunks { get; }

    public bool WorthSharing { get; }

    public void Run(int chunk)
    {
        foreach (var slice in _batch.Slices)
        {
            if (chunk >= Tiles(slice))
            {
                chunk -= Tiles(slice);
                continue;
            }
            var group = _shape.NumHeads / _shape.NumKvHeads;
            // The last tokens see the most keys: they go first, so that threads end together.
            var (tokenTile, headTile) = Math.DivRem(Tiles(slice) - 1 - chunk, _shape.NumKvHeads * _headTiles);
            var (kvHead, part) = Math.DivRem(headTile, _headTiles);
            var firstToken = tokenTile * _tokens;
            _kernels.Attention(new AttentionTile
            {
                Kv = _kv,
                Layer = _layer,
                Slice = slice,
                Shape = _shape,
                Sinks = _sinks is null ? null : (float*)_sinks.Tensor.Data,
                KvHead = kvHead,
                FirstHead = (kvHead * group) + (part * _heads),
                Heads = Math.Min(_heads, group - (part * _heads)),
                FirstToken = firstToken,
                Tokens = Math.Min(_tokens, slice.Count - firstToken),
                Queries = CpuBackend.Row(_queries, slice.Offset),
                Output = CpuBackend.Row(_output, slice.Offset),
            });
            return;
        }
    }

    private int Tiles(BatchSlice slice) => Cpu.Chunks.Count(slice.Count, _tokens) * _shape.NumKvHeads * _headTiles;
}
