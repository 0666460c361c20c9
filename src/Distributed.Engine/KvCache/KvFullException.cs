namespace Distributed.Engine.KvCache;

/// <summary>The KV cache has too few free blocks for a step. Nothing was changed; the step can be tried again when sequences ended.</summary>
/// <param name="needed">Blocks the step needs beyond what its sequences hold.</param>
/// <param name="free">Free blocks.</param>
/// <param name="blocks">All blocks.</param>
/// <param name="blockTokens">Tokens per block.</param>
public sealed class KvFullException(int needed, int free, int blocks, int blockTokens) : Exception(
    $"the KV cache is full: the step needs {needed} more blocks of {blockTokens} tokens, {free} of {blocks} are free")
{
    /// <summary>Blocks the step needs beyond what its sequences hold.</summary>
    public int Needed { get; } = needed;

    /// <summary>Free blocks.</summary>
    public int Free { get; } = free;

    /// <summary>All blocks.</summary>
    public int Blocks { get; } = blocks;
}
