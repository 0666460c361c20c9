using System.Runtime.InteropServices;
using Distributed.Core;
using Distributed.Gpu.Kernels;
using ILGPU;

namespace Distributed.Gpu;

/// <summary>The operations of the KV cache and of attention.</summary>
public sealed partial class GpuBackend
{
    // As many groups keep a device busy; with fewer a query's chunks are shared.
    private const int EnoughGroups = 1024;

    // Tokens that a tile must have on average: with fewer, each has its own group.
    private const int WorthTiles = 4;

    private readonly DeviceInts _steps;
    private readonly DeviceInts _tables;
    private readonly DeviceInts _queryTiles;
    private readonly List<int> _stepValues = [];
    private readonly List<int> _queryTileValues = [];
    private readonly List<int> _tableValues = [];
    private Batch? _sentBatch;
    private long _sentStep;
    private int _lastPosition;

    /// <inheritdoc/>
    public override KvStore AllocateKv(int layers, int blocks, AttentionShape shape, KvType type)
    {
        if (shape.HeadDim > ModelConfig.MaxHeadDim)
            throw new InvalidInputException("head size", $"{shape.HeadDim}", $"must be at most {ModelConfig.MaxHeadDim}");
        if (type.Error(shape.HeadDim) is { } error)
            throw new InvalidInputException([error]);
        _tables.Reserve(blocks);
        var (view, apart) = _memory.Allocate(GpuKv.SizeOf(type, layers, blocks, shape));
        return new GpuKv(type, layers, blocks, shape, view, apart);
    }

    /// <inheritdoc/>
    public override void StoreKv(KvStore kv, int layer, Batch batch, Activations keys, Activations values)
    {
        var (cache, kernels) = ((GpuKv)kv, _kernels.Kv(((GpuKv)kv).Type));
        Send(batch);
        var runs = Values(keys, batch.Count) / kernels.RunLength;
        kernels.Store(_stream, runs, cache.Memory, _steps.View, _tables.View, View(keys), View(values), cache.Layer(layer));
    }

    /// <inheritdoc/>
    public override void Attention(
        KvStore kv, int layer, Batch batch, AttentionShape shape, Weight? sinks, Activations queries, Activations output)
    {
        var cache = (GpuKv)kv;
        Send(batch);
        var queryCount = batch.Count * shape.NumHeads;
        var kernels = _kernels.Kv(cache.Type);
        if (shape.HeadDim <= TileAttentionKernels.MaxHeadDim && batch.Count >= WorthTiles * (_queryTileValues.Count / 2))
        {
            kernels.AttendTiles(
                _stream, new KernelConfig(_queryTileValues.Count / 2 * shape.NumHeads, _device.GroupThreads), cache.Memory, _steps.View,
                _tables.View, _queryTiles.View, View(queries), sinks is null ? View(queries) : Floats(sinks), View(output), cache.Layer(layer),
                new AttentionOptions(shape.NumHeads, shape.Scale, shape.Window ?? int.MaxValue, shape.SoftCap ?? 0, sinks is null ? 0 : 1, 1));
            return;
        }
        var parts = Parts(queryCount, shape);
        var options = new AttentionOptions(
            shape.NumHeads, shape.Scale, shape.Window ?? int.MaxValue, shape.SoftCap ?? 0, sinks is null ? 0 : 1, parts);
        var sinkValues = sinks is null ? View(queries) : Floats(sinks);
        var target = parts == 1 ? View(output) : Scratch();
        kernels.Attend(
            _stream, new KernelConfig(queryCount * parts, _device.GroupThreads), cache.Memory, _steps.View, _tables.View, View(queries),
            sinkValues, target, cache.Layer(layer), options);
        if (parts > 1)
        {
            _kernels.MergeParts(
                _stream, new KernelConfig(queryCount, _device.GroupThreads), target, sinkValues, View(output), shape.HeadDim, options);
        }
    }

    /// <summary>How many groups share a query's chunks: one for each chunk, or 1 when there is work enough or too little scratch.</summary>
    private int Parts(int queries, AttentionShape shape)
    {
        var keys = Math.Min(_lastPosition + 1, shape.Window ?? int.MaxValue);
        // A window may begin and end within a chunk.
        var chunks = (keys - 1) / AttentionKernels.ChunkTokens + (shape.Window is null ? 1 : 2);
        var fits = (long)queries * chunks * (shape.HeadDim + 2) * sizeof(float) <= _scratch.Length;
        return queries < EnoughGroups && fits ? chunks : 1;
    }

    /// <summary>Sends a step's positions and block tables, once for all layers.</summary>
    private void Send(Batch batch)
    {
        if (ReferenceEquals(batch, _sentBatch) && batch.Step == _sentStep)
            return;
        _stepValues.Clear();
        _tableValues.Clear();
        _queryTileValues.Clear();
        _lastPosition = 0;
        var token = 0;
        foreach (var slice in batch.Slices)
        {
            var end = slice.Start + slice.Count;
            for (var position = slice.Start; position < end; position++)
            {
                _stepValues.Add(position);
                _stepValues.Add(_tableValues.Count);
            }
            for (var block = 0; block < StageSpec.BlocksFor(end); block++)
                _tableValues.Add(slice.BlockTable[block]);
            _lastPosition = Math.Max(_lastPosition, end - 1);
            for (var done = 0; done < slice.Count; done += TileAttentionKernels.TileQueries)
            {
                _queryTileValues.Add(token + done);
                _queryTileValues.Add(Math.Min(TileAttentionKernels.TileQueries, slice.Count - done));
            }
            token += slice.Count;
        }
        _steps.Upload(CollectionsMarshal.AsSpan(_stepValues));
        _tables.Upload(CollectionsMarshal.AsSpan(_tableValues));
        _queryTiles.Upload(CollectionsMarshal.AsSpan(_queryTileValues));
        (_sentBatch, _sentStep) = (batch, batch.Step);
    }
}
