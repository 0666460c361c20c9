using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// The queries of some consecutive tokens of a slice that share a key head: token after token, and head after head within a token.
/// </summary>
internal readonly unsafe struct AttentionTile
{
    // Queries share the work of converting a block of the cache, but their values have to fit on the stack.
    private const int MaxValues = 8192;
    private const int MostQueries = 128;
    private const int FewestQueries = 16;

    /// <summary>The cache.</summary>
    public required CpuKv Kv { get; init; }

    /// <summary>The layer.</summary>
    public required int Layer { get; init; }

    /// <summary>The sequence.</summary>
    public required BatchSlice Slice { get; init; }

    /// <summary>The shape.</summary>
    public required AttentionShape Shape { get; init; }

    /// <summary>A score per head without a key; null for none.</summary>
    public required float* Sinks { get; init; }

    /// <summary>The key head.</summary>
    public required int KvHead { get; init; }

    /// <summary>The first query head.</summary>
    public required int FirstHead { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>The first token, counted from the slice's start.</summary>
    public required int FirstToken { get; init; }

    /// <summary>Tokens; times <see cref="Heads"/> at most <see cref="MaxQueries"/>.</summary>
    public required int Tokens { get; init; }

    /// <summary>Row of the slice's first token.</summary>
    public required float* Queries { get; init; }

    /// <summary>Row of the slice's first token.</summary>
    public required float* Output { get; init; }

    /// <summary>Queries.</summary>
    public int Count => Heads * Tokens;

    /// <summary>The most queries in a tile.</summary>
    public static int MaxQueries(int headDim) => Math.Clamp(MaxValues / headDim / 8 * 8, FewestQueries, MostQueries);

    /// <summary>Where a query and its output begin in the rows.</summary>
    public long Offset(int query)
    {
        var (token, head) = Math.DivRem(query, Heads);
        return (((long)(FirstToken + token) * Shape.NumHeads) + FirstHead + head) * Shape.HeadDim;
    }

    /// <summary>Position of a token, the last key that its queries see.</summary>
    public int Position(int token) => Slice.Start + FirstToken + token;

    /// <summary>Position of the first key that the queries of a token see.</summary>
    public int FirstKey(int token) => Shape.Window is { } window ? Math.Max(0, Position(token) + 1 - window) : 0;
}
