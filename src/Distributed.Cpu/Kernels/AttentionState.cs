using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// What a tile's queries carry from block to block. Queries come in groups of eight, the last in one of four if it has no more;
/// places without a query hold zeros and write to a row that nobody reads.
/// </summary>
internal readonly unsafe struct AttentionState
{
    /// <summary>Queries in a group.</summary>
    public const int Group = 8;

    private const int BlockTokens = StageSpec.KvBlockTokens;

    /// <summary>1 / ln 2: scores are kept in these units, so that weights are powers of two.</summary>
    public const float Log2OfE = 1.44269504f;

    /// <param name="tile">The tile.</param>
    /// <param name="memory">Room for <see cref="Bytes"/>, on a cache line's boundary.</param>
    public AttentionState(in AttentionTile tile, float* memory)
    {
        Count = tile.Count;
        Padded = Pad(Count);
        HeadDim = tile.Shape.HeadDim;
        Weights = memory;
        Masks = Weights + (Padded * BlockTokens);
        Sums = Masks + (3 * BlockTokens);
        Outputs = (float**)(Sums + (Padded * Lanes.Count));
        Largest = (float*)(Outputs + Padded);
        Rescale = Largest + Padded;
        From = (int*)(Rescale + Padded);
        End = From + Padded;
        Queries = (float*)(End + Padded);
        var nobody = Queries + (Padded * HeadDim);

        var scale = tile.Shape.SoftCap is { } cap ? tile.Shape.Scale / cap : tile.Shape.Scale * Log2OfE;
        new Span<uint>(Masks, 3 * BlockTokens).Fill(uint.MaxValue);
        new Span<uint>(Masks + BlockTokens, BlockTokens).Clear();
        new Span<float>(Sums, Padded * Lanes.Count).Clear();
        new Span<float>(nobody, HeadDim).Clear();
        for (var i = 0; i < Padded; i++)
        {
            Outputs[i] = i < Count ? tile.Output + tile.Offset(i) : nobody;
            Largest[i] = float.NegativeInfinity;
            Rescale[i] = 1;
            if (i < Count && tile.Sinks is not null)
            {
                Largest[i] = tile.Sinks[tile.FirstHead + (i % tile.Heads)] * Log2OfE;
                Sums[i * Lanes.Count] = 1;
            }
            new Span<float>(Outputs[i], HeadDim).Clear();
            var group = i / Group * Group;
            var stride = Rows(group);
            var target = Queries + (group * HeadDim) + (i - group);
            var source = i < Count ? tile.Queries + tile.Offset(i) : nobody;
            for (var j = 0; j < HeadDim; j++)
                target[j * stride] = source[j] * scale;
        }
    }

    /// <summary>Queries.</summary>
    public int Count { get; }

    /// <summary>Places for queries.</summary>
    public int Padded { get; }

    /// <summary>Groups.</summary>
    public int Groups => (Padded + Group - 1) / Group;

    /// <summary>Values per head.</summary>
    public int HeadDim { get; }

    /// <summary>Scores, then weights, of the queries in the block: [places][tokens].</summary>
    public float* Weights { get; }

    /// <summary>As many ones, zeros and ones again as a block has tokens: masks of its first tokens, and of its last.</summary>
    public float* Masks { get; }

    /// <summary>Sums of the weights so far, every sixteenth in one lane: [places][lanes].</summary>
    public float* Sums { get; }

    /// <summary>Where the outputs are summed up.</summary>
    public float** Outputs { get; }

    /// <summary>The largest scores so far; weights are relative to them.</summary>
    public float* Largest { get; }

    /// <summary>What the outputs so far have to be multiplied with, as the largest scores have changed.</summary>
    public float* Rescale { get; }

    /// <summary>The first of the block's keys that a query sees.</summary>
    public int* From { get; }

    /// <summary>The end of the block's keys that a query sees; not behind <see cref="From"/> when it sees none.</summary>
    public int* End { get; }

    /// <summary>The queries scaled, group after group: [headDim][places of the group].</summary>
    public float* Queries { get; }

    /// <summary>Bytes for the queries of a tile.</summary>
    public static int Bytes(in AttentionTile tile) =>
        ((3 * BlockTokens) + (Pad(tile.Count) * (BlockTokens + Lanes.Count + 6 + tile.Shape.HeadDim)) + tile.Shape.HeadDim)
        * sizeof(float);

    /// <summary>Places in the group that begins with place <paramref name="group"/>.</summary>
    public int Rows(int group) => Math.Min(Group, Padded - group);

    /// <summary>Sets which keys of the block at position <paramref name="start"/> the queries see.</summary>
    public void See(in AttentionTile tile, int start)
    {
        var place = 0;
        for (var token = 0; token < tile.Tokens; token++)
        {
            var from = Math.Max(0, tile.FirstKey(token) - start);
            var end = Math.Min(BlockTokens, tile.Position(token) + 1 - start);
            var next = token == tile.Tokens - 1 ? Padded : place + tile.Heads;
            for (; place < next; place++)
                (From[place], End[place]) = (from, end);
        }
    }

    /// <summary>Whether all queries of a group see the same keys of the block.</summary>
    public bool SeeTheSame(int group)
    {
        // Both ends only grow from token to token.
        var last = group + Rows(group) - 1;
        return From[group] == From[last] && End[group] == End[last];
    }

    private static int Pad(int count) => (count + 3) / 4 * 4;
}
