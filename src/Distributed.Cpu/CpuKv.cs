using Distributed.Core;

namespace Distributed.Cpu;

/// <summary>
/// Keys and values in main memory: [layer][keys, values][kvHead][block], so that attention reads what one head has of a run of
/// blocks in one go. What lies within a block is said in <see cref="Kernels.KvBlocks{T}"/>.
/// </summary>
internal sealed unsafe class CpuKv : KvStore
{
    // Kernels load whole vectors at the end of a row.
    private const int Padding = 64;

    private readonly AlignedMemory _memory;
    private readonly long _headBytes;
    private readonly long _layerBytes;
    private readonly int _kvHeads;

    public CpuKv(int layers, int blocks, AttentionShape shape, KvType type)
    {
        Type = type;
        HeadDim = shape.HeadDim;
        _kvHeads = shape.NumKvHeads;
        HeadBlockBytes = type.Bytes(shape.HeadDim) * StageSpec.KvBlockTokens;
        _headBytes = checked(HeadBlockBytes * blocks);
        _layerBytes = checked(_headBytes * shape.NumKvHeads * 2);
        Bytes = checked(_layerBytes * layers);
        _memory = new AlignedMemory(checked(Bytes + Padding));
    }

    /// <summary>The format.</summary>
    public KvType Type { get; }

    /// <summary>Values per head.</summary>
    public int HeadDim { get; }

    /// <summary>Bytes of the keys (or values) of one head in a block.</summary>
    public long HeadBlockBytes { get; }

    /// <inheritdoc/>
    public override long Bytes { get; }

    /// <summary>The keys of one head, block after block of <see cref="HeadBlockBytes"/>.</summary>
    public byte* Keys(int layer, int head) => _memory.Data + (layer * _layerBytes) + (head * _headBytes);

    /// <summary>The values of one head, block after block of <see cref="HeadBlockBytes"/>.</summary>
    public byte* Values(int layer, int head) => Keys(layer, head) + (_layerBytes / 2);

    /// <inheritdoc/>
    public override string Layout => $"cpu {Type.ToName()} {_kvHeads}x{HeadDim}";

    /// <inheritdoc/>
    public override int LayerBlockBytes => checked((int)(HeadBlockBytes * _kvHeads * 2));

    /// <inheritdoc/>
    public override void ReadBlock(int layer, int block, Span<byte> target)
    {
        for (var head = 0; head < 2 * _kvHeads; head++)
            Piece(layer, head, block).CopyTo(target.Slice((int)(head * HeadBlockBytes), (int)HeadBlockBytes));
    }

    /// <inheritdoc/>
    public override void WriteBlock(int layer, int block, ReadOnlySpan<byte> source)
    {
        for (var head = 0; head < 2 * _kvHeads; head++)
            source.Slice((int)(head * HeadBlockBytes), (int)HeadBlockBytes).CopyTo(Piece(layer, head, block));
    }

    // The heads' values follow their keys.
    private Span<byte> Piece(int layer, int head, int block) => new(Keys(layer, head) + (block * HeadBlockBytes), (int)HeadBlockBytes);

    /// <inheritdoc/>
    public override void Dispose() => _memory.Dispose();
}
