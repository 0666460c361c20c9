using Distributed.Core;
using Distributed.Engine.KvCache;

namespace Distributed.Engine;

// What a stage gives of its KV cache to another one that takes its layers over, or takes from one.
public sealed partial class Stage
{
    /// <summary>How blocks lie, with their shape and format; stages of the same layout can hand them to each other. Null where they cannot.</summary>
    public string? KvLayout => _work.Kv.Layout;

    /// <summary>Bytes of one layer's keys and values in a block; only where there is a <see cref="KvLayout"/>.</summary>
    public int LayerBlockBytes => _work.Kv.LayerBlockBytes;

    /// <summary>Makes room for sequences that hold nothing yet; <see cref="WriteKv"/> is to fill it.</summary>
    /// <param name="sequences">Each with its tokens, from position 0.</param>
    /// <exception cref="InvalidInputException">A sequence is there already, comes twice or has no token.</exception>
    /// <exception cref="KvFullException">There are too few free blocks; nothing has changed.</exception>
    public void MakeRoom(IReadOnlyList<SequenceSlice> sequences)
    {
        foreach (var slice in sequences)
        {
            if (KvCache.Of(slice.Sequence).Count > 0)
                throw Wrong("sequence", slice.Sequence, "must not be there already");
        }

        KvCache.Extend([.. sequences], []);
    }

    /// <summary>Copies blocks of one layer out.</summary>
    /// <param name="sequence">Whose.</param>
    /// <param name="layer">The layer, by its number in the model.</param>
    /// <param name="first">The first of the sequence's blocks.</param>
    /// <param name="target">Room for one or more times <see cref="LayerBlockBytes"/>.</param>
    /// <exception cref="InvalidInputException">The stage has no such layer or block.</exception>
    public void ReadKv(long sequence, int layer, int first, Span<byte> target)
    {
        var blocks = Find(sequence, layer, first, target.Length);
        for (var i = 0; i < blocks.Count; i++)
            _work.Kv.ReadBlock(layer - Spec.FirstLayer, blocks[i], target.Slice(i * LayerBlockBytes, LayerBlockBytes));
    }

    /// <summary>Copies blocks of one layer in.</summary>
    /// <param name="sequence">Whose.</param>
    /// <param name="layer">The layer, by its number in the model.</param>
    /// <param name="first">The first of the sequence's blocks.</param>
    /// <param name="source">One or more times <see cref="LayerBlockBytes"/>.</param>
    /// <exception cref="InvalidInputException">The stage has no such layer or block.</exception>
    public void WriteKv(long sequence, int layer, int first, ReadOnlySpan<byte> source)
    {
        var blocks = Find(sequence, layer, first, source.Length);
        for (var i = 0; i < blocks.Count; i++)
            _work.Kv.WriteBlock(layer - Spec.FirstLayer, blocks[i], source.Slice(i * LayerBlockBytes, LayerBlockBytes));
    }

    private List<int> Find(long sequence, int layer, int first, int bytes)
    {
        if (layer < Spec.FirstLayer || layer >= Spec.EndLayer)
            throw Wrong("layer", layer, $"must lie between {Spec.FirstLayer} and {Spec.EndLayer - 1}");
        if (bytes == 0 || bytes % LayerBlockBytes != 0)
            throw Wrong("bytes", bytes, $"must be some times the {LayerBlockBytes} of a block");
        var held = KvCache.Of(sequence);
        if (first < 0 || first + (long)(bytes / LayerBlockBytes) > held.Count)
            throw Wrong("block", first, $"must lie, with those behind it, within the {held.Count} of sequence {sequence}");
        return [.. held.Skip(first).Take(bytes / LayerBlockBytes)];
    }
}
