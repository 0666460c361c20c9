namespace Distributed.Gpu.Formats;

/// <summary>A part that every block of a format has, and that lies together with that of all other blocks once they are rearranged.</summary>
/// <param name="Start">Its first byte within a block.</param>
/// <param name="Bytes">Bytes of it.</param>
public readonly record struct BlockPart(int Start, int Bytes);

/// <summary>
/// Blocks whose bytes cannot be loaded sixteen at a time, rearranged: one part of all blocks of a tensor, then the next part of all. As
/// many bytes as before, but each part begins at a multiple of its own length.
/// </summary>
public static class BlockPlanes
{
    /// <summary>Rearranges whole blocks.</summary>
    /// <param name="source">The blocks as the file has them.</param>
    /// <param name="target">Room for as many bytes.</param>
    /// <param name="parts">The parts of a block, in the order they are to have.</param>
    public static void Rearrange(ReadOnlySpan<byte> source, Span<byte> target, ReadOnlySpan<BlockPart> parts)
    {
        var blockBytes = 0;
        foreach (var part in parts)
            blockBytes += part.Bytes;
        foreach (var part in parts)
        {
            for (var at = part.Start; at < source.Length; at += blockBytes, target = target[part.Bytes..])
                source.Slice(at, part.Bytes).CopyTo(target);
        }
    }
}
