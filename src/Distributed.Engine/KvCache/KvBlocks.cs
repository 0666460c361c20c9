using System.Globalization;
using Distributed.Core;

namespace Distributed.Engine.KvCache;

/// <summary>
/// Hands out the blocks of a stage's KV cache: a pool of free ones, and per sequence a table of those it holds (Kwon et al. 2023).
/// Sequences that begin with the same tokens may share whole blocks; a shared block is never written to.
/// Safe to ask from any thread; the tables it gives out are to be read by whoever extends and releases, one at a time.
/// </summary>
public sealed class KvBlocks
{
    private readonly Lock _gate = new();
    private readonly Stack<int> _free;
    // How many sequences hold a block.
    private readonly int[] _holders;
    private readonly Dictionary<long, Table> _tables = [];

    /// <param name="blocks">Blocks in the pool.</param>
    /// <param name="blockBytes">Bytes of a block over all layers, for reports.</param>
    public KvBlocks(int blocks, long blockBytes)
    {
        Blocks = blocks;
        BlockBytes = blockBytes;
        _holders = new int[blocks];
        _free = new Stack<int>(blocks);
        for (var block = blocks - 1; block >= 0; block--)
            _free.Push(block);
    }

    /// <summary>All blocks.</summary>
    public int Blocks { get; }

    /// <summary>Bytes of a block over all layers of the stage, keys and values.</summary>
    public long BlockBytes { get; }

    /// <summary>Blocks that no sequence holds.</summary>
    public int FreeBlocks
    {
        get
        {
            lock (_gate)
                return _free.Count;
        }
    }

    /// <summary>
    /// Makes room for a step: cuts each sequence back to the start of its slice and lengthens it by the slice's tokens. All slices
    /// get their room or none does.
    /// </summary>
    /// <param name="slices">At most one per sequence.</param>
    /// <param name="result">Gets the slices with their block tables, numbered through the batch; what it had is dropped.</param>
    /// <exception cref="InvalidInputException">
    /// A slice is empty, begins past what is cached or within a shared block, or its sequence comes twice.
    /// </exception>
    /// <exception cref="KvFullException">There are too few free blocks.</exception>
    public void Extend(ReadOnlySpan<SequenceSlice> slices, List<BatchSlice> result)
    {
        lock (_gate)
        {
            Check(slices);
            result.Clear();
            // What is cut back first can serve the slices after it.
            foreach (var slice in slices)
                Resize(slice.Sequence, slice.Start);
            var offset = 0;
            foreach (var slice in slices)
            {
                var table = Resize(slice.Sequence, slice.Start + slice.Count);
                result.Add(new BatchSlice(slice.Sequence, slice.Start, slice.Count, offset, table.Blocks));
                offset += slice.Count;
            }
        }
    }

    /// <summary>Begins a sequence with the first blocks of another one, which both hold from then on.</summary>
    /// <param name="from">The other one.</param>
    /// <param name="to">The new one; it may hold nothing yet.</param>
    /// <param name="tokens">Tokens of whole blocks; at most those cached of the other one.</param>
    /// <returns>False, and nothing is changed, where that is not so.</returns>
    public bool Share(long from, long to, int tokens)
    {
        lock (_gate)
        {
            if (from == to || tokens < 1 || tokens % StageSpec.KvBlockTokens != 0 || _tables.ContainsKey(to)
                || !_tables.TryGetValue(from, out var source) || source.Tokens < tokens)
                return false;
            var table = new Table { Tokens = tokens };
            table.Blocks.AddRange(source.Blocks.Take(tokens / StageSpec.KvBlockTokens));
            foreach (var block in table.Blocks)
                _holders[block]++;
            _tables.Add(to, table);
            return true;
        }
    }

    /// <summary>The blocks that a sequence holds, in order; empty when it holds none.</summary>
    public IReadOnlyList<int> Of(long sequence)
    {
        lock (_gate)
            return [.. _tables.GetValueOrDefault(sequence)?.Blocks ?? []];
    }

    /// <summary>Frees all that a sequence holds; false when it holds nothing.</summary>
    public bool Release(long sequence)
    {
        lock (_gate)
        {
            if (!_tables.ContainsKey(sequence))
                return false;
            Resize(sequence, 0);
            return _tables.Remove(sequence);
        }
    }

    /// <summary>What every sequence holds, in the order of their numbers.</summary>
    public IReadOnlyList<SequenceKv> Report()
    {
        lock (_gate)
        {
            return
            [
                .. _tables.OrderBy(entry => entry.Key).Select(entry => new SequenceKv(
                    entry.Key, entry.Value.Tokens, entry.Value.Blocks.Count, entry.Value.Blocks.Count * BlockBytes,
                    entry.Value.Blocks.Count(IsShared))),
            ];
        }
    }

    private void Check(ReadOnlySpan<SequenceSlice> slices)
    {
        var needed = 0L;
        for (var i = 0; i < slices.Length; i++)
        {
            var (sequence, start, count) = slices[i];
            var table = _tables.GetValueOrDefault(sequence);
            if (count < 1)
                throw Wrong(i, "count", count, "must be at least 1");
            if (start < 0 || start > (table?.Tokens ?? 0))
                throw Wrong(i, "start", start, $"must lie between 0 and the {table?.Tokens ?? 0} tokens cached of sequence {sequence}");
            foreach (var earlier in slices[..i])
                if (earlier.Sequence == sequence)
                    throw Wrong(i, "sequence", sequence, "must not come twice in a step");
            var kept = (int)BlocksFor(start);
            if (start % StageSpec.KvBlockTokens != 0 && IsShared(table!.Blocks[kept - 1]))
                throw Wrong(i, "start", start, $"must not lie within a block that sequence {sequence} shares with others");
            needed += BlocksFor((long)start + count) - kept;
            // What is cut off comes free where nobody else holds it.
            for (var block = kept; block < (table?.Blocks.Count ?? 0); block++)
                needed -= IsShared(table!.Blocks[block]) ? 0 : 1;
        }

        if (needed > _free.Count)
            throw new KvFullException((int)Math.Min(needed, int.MaxValue), _free.Count, Blocks, StageSpec.KvBlockTokens);

        static InvalidInputException Wrong(int slice, string key, long value, string rule) =>
            new($"slices[{slice}].{key}", value.ToString(CultureInfo.InvariantCulture), rule);
    }

    private bool IsShared(int block) => _holders[block] > 1;

    private static long BlocksFor(long tokens) => (tokens + StageSpec.KvBlockTokens - 1) / StageSpec.KvBlockTokens;

    private Table Resize(long sequence, int tokens)
    {
        if (!_tables.TryGetValue(sequence, out var table))
            _tables.Add(sequence, table = new Table());
        var blocks = StageSpec.BlocksFor(tokens);
        while (table.Blocks.Count > blocks)
        {
            if (--_holders[table.Blocks[^1]] == 0)
                _free.Push(table.Blocks[^1]);
            table.Blocks.RemoveAt(table.Blocks.Count - 1);
        }
        while (table.Blocks.Count < blocks)
        {
            _holders[_free.Peek()] = 1;
            table.Blocks.Add(_free.Pop());
        }
        table.Tokens = tokens;
        return table;
    }

    private sealed class Table
    {
        public List<int> Blocks { get; } = [];

        public int Tokens { get; set; }
    }
}
