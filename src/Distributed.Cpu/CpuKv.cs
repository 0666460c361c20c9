using Distributed.Core;

namespace Distributed.Cpu;

/// <summary>
/// Keys and values in main memory: [layer][keys, values][block][kvHead][token][headDim], so that attention reads what one head has
/// of a block in one run.
/// </summary>
internal sealed unsafe class CpuKv : KvStore
{
    private readonly AlignedMemory _memory;
    private readonly long _layerBytes;

    public CpuKv(int layers, int blocks, AttentionShape shape, KvType type)
    {
        Type = type;
        HeadDim = shape.HeadDim;
        RowBytes = type.Bytes(shape.HeadDim);
        HeadBytes = RowBytes * StageSpec.KvBlockTokens;
        BlockBytes = HeadBytes * shape.NumKvHeads;
        _layerBytes = checked(BlockBytes * blocks * 2);
        _memory = new AlignedMemory(checked(_layerBytes * layers));
        Blocks = blocks;
    }

    /// <summary>The format of a row.</summary>
    public KvType Type { get; }

    /// <summary>Values per row.</summary>
    public int HeadDim { get; }

    /// <summary>Blocks per layer.</summary>
    public int Blocks { get; }

    /// <summary>Bytes of one token's key (or value) of one head.</summary>
    public long RowBytes { get; }

    /// <summary>Bytes of one head in a block.</summary>
    public long HeadBytes { get; }

    /// <summary>Bytes of a block's keys (or values).</summary>
    public long BlockBytes { get; }

    /// <inheritdoc/>
    public override long Bytes => _memory.Bytes;

    /// <summary>The first block of a layer's keys.</summary>
    public byte* Keys(int layer) => _memory.Data + (layer * _layerBytes);

    /// <summary>The first block of a layer's values.</summary>
    public byte* Values(int layer) => Keys(layer) + (_layerBytes / 2);

    /// <inheritdoc/>
    public override void Dispose() => _memory.Dispose();
}
