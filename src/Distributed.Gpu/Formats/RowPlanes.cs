namespace Distributed.Gpu.Formats;

/// <summary>
/// Rows of blocks that begin with a half-precision scale, rearranged: all numbers of a row, then all its scales. As many bytes as
/// before, but the numbers can be loaded sixteen bytes at a time.
/// </summary>
public static class RowPlanes
{
    /// <summary>Values that a row must have a multiple of, so that every row begins at a multiple of 16 bytes.</summary>
    public const int RowMultiple = 256;

    /// <summary>Rearranges whole rows.</summary>
    /// <param name="source">The rows as the file has them.</param>
    /// <param name="target">Room for as many bytes.</param>
    /// <param name="rowBytes">Bytes of a row.</param>
    /// <param name="blockBytes">Bytes of a block.</param>
    public static void Rearrange(ReadOnlySpan<byte> source, Span<byte> target, int rowBytes, int blockBytes)
    {
        const int ScaleBytes = sizeof(ushort);
        var numberBytes = blockBytes - ScaleBytes;
        var blocks = rowBytes / blockBytes;
        for (; source.Length >= rowBytes; source = source[rowBytes..], target = target[rowBytes..])
        {
            for (var block = 0; block < blocks; block++)
            {
                var from = source.Slice(block * blockBytes, blockBytes);
                from[ScaleBytes..].CopyTo(target[(block * numberBytes)..]);
                from[..ScaleBytes].CopyTo(target[((blocks * numberBytes) + (block * ScaleBytes))..]);
            }
        }
    }
}
