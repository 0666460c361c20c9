namespace Distributed.Core;

/// <summary>
/// What one stage of a pipeline is: a contiguous range of layers and the room it keeps. The first stage also holds the token
/// embedding, the last one the final norm and the LM head.
/// </summary>
/// <param name="FirstLayer">The first layer, from 0.</param>
/// <param name="EndLayer">One past the last layer; a stage of the head alone has none (equal to <paramref name="FirstLayer"/>).</param>
/// <param name="HasEmbedding">Takes token ids instead of hidden states.</param>
/// <param name="HasHead">Gives logits instead of hidden states.</param>
/// <param name="MaxBatchTokens">The most tokens in one step; sizes the activations.</param>
/// <param name="KvType">The format of the KV cache.</param>
/// <param name="KvBlocks">Blocks of <see cref="KvBlockTokens"/> tokens in the KV cache, for all sequences together.</param>
/// <param name="Context">The longest sequence, in tokens, which some rotary scalings depend on; null for what the blocks hold.</param>
public sealed record StageSpec(
    int FirstLayer, int EndLayer, bool HasEmbedding, bool HasHead, int MaxBatchTokens, KvType KvType, int KvBlocks, int? Context = null)
{
    /// <summary>The most that <see cref="MaxBatchTokens"/> may be.</summary>
    public const int LargestBatch = 8192;

    /// <summary>Tokens per block of the KV cache.</summary>
    public const int KvBlockTokens = 32;

    /// <summary>Layers on the stage.</summary>
    public int NumLayers => EndLayer - FirstLayer;

    /// <summary>Blocks that hold <paramref name="tokens"/> tokens of one sequence.</summary>
    public static int BlocksFor(int tokens) => (tokens + KvBlockTokens - 1) / KvBlockTokens;
}

/// <summary>The memory of a stage by part, in bytes: forecast before it loads, accounted after.</summary>
/// <param name="Weights">The layers' weights, and the embedding on the first stage.</param>
/// <param name="LmHead">The final norm and the output matrix, on the last stage.</param>
/// <param name="KvCache">All blocks of the KV cache.</param>
/// <param name="Activations">Hidden states and what the layers work in, logits included.</param>
/// <param name="Scratch">What the kernels work in: quantised activations, attention scores.</param>
public readonly record struct StageMemory(long Weights, long LmHead, long KvCache, long Activations, long Scratch)
{
    /// <summary>All parts together.</summary>
    public long Total => Weights + LmHead + KvCache + Activations + Scratch;
}
