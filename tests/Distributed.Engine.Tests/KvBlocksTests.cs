using Distributed.Engine.KvCache;

namespace Distributed.Engine.Tests;

public class KvBlocksTests
{
    private const int BlockTokens = StageSpec.KvBlockTokens;

    private readonly KvBlocks _cache = new(blocks: 4, blockBytes: 100);
    private readonly List<BatchSlice> _slices = [];

    [Fact]
    public void A_sequence_takes_blocks_as_it_grows()
    {
        Extend((5, 0, 1));
        Assert.Equal(3, _cache.FreeBlocks);
        Extend((5, 1, BlockTokens - 1));
        Assert.Equal(3, _cache.FreeBlocks);
        Extend((5, BlockTokens, 1));
        Assert.Equal(2, _cache.FreeBlocks);
        Assert.Equal([new SequenceKv(5, BlockTokens + 1, 2, 200)], _cache.Report());
    }

    [Fact]
    public void Slices_get_their_place_in_the_batch_and_their_blocks()
    {
        Extend((1, 0, 40), (2, 0, 3));
        Assert.Equal([0, 40], _slices.Select(slice => slice.Offset));
        Assert.Equal([2, 1], _slices.Select(slice => slice.BlockTable.Count));
        Assert.Equal(3, _slices.SelectMany(slice => slice.BlockTable).Distinct().Count());
    }

    [Fact]
    public void A_slice_before_the_end_cuts_the_sequence_back()
    {
        Extend((1, 0, 100));
        Assert.Equal(0, _cache.FreeBlocks);
        Extend((1, 10, 5));
        Assert.Equal(3, _cache.FreeBlocks);
        Assert.Equal(15, _cache.Report().Single().Tokens);
    }

    [Fact]
    public void Shared_blocks_are_held_until_the_last_sequence_lets_go()
    {
        Extend((1, 0, (2 * BlockTokens) + 5));
        Assert.True(_cache.Share(1, 2, 2 * BlockTokens));
        Assert.Equal(1, _cache.FreeBlocks);
        Extend((2, 2 * BlockTokens, 3));
        Assert.Equal(0, _cache.FreeBlocks);
        Assert.Equal([2, 2], _cache.Report().Select(sequence => sequence.SharedBlocks));
        Assert.Equal(3, _slices[0].BlockTable.Count);

        Assert.True(_cache.Release(1));
        Assert.Equal(1, _cache.FreeBlocks);
        Assert.Equal(0, _cache.Report().Single().SharedBlocks);
        Assert.True(_cache.Release(2));
        Assert.Equal(4, _cache.FreeBlocks);
    }

    [Fact]
    public void A_shared_block_cannot_be_written_to_and_cutting_it_off_frees_nothing()
    {
        Extend((1, 0, 3 * BlockTokens));
        Assert.True(_cache.Share(1, 2, 3 * BlockTokens));

        Assert.Throws<InvalidInputException>(() => Extend((1, BlockTokens + 1, 1)));
        Assert.Throws<KvFullException>(() => Extend((1, BlockTokens, BlockTokens + 1)));
        Extend((1, BlockTokens, BlockTokens));
        Assert.Equal(0, _cache.FreeBlocks);
        Assert.Equal([1, 1], _cache.Report().Select(sequence => sequence.SharedBlocks));
    }

    [Theory]
    [InlineData(1, 2, BlockTokens - 1)]
    [InlineData(1, 2, 0)]
    [InlineData(1, 2, -BlockTokens)]
    [InlineData(1, 2, 2 * BlockTokens)]
    [InlineData(1, 1, BlockTokens)]
    [InlineData(9, 2, BlockTokens)]
    [InlineData(1, 3, BlockTokens)]
    public void What_is_not_there_is_not_shared(long from, long to, int tokens)
    {
        Extend((1, 0, BlockTokens + 5), (3, 0, 1));
        var before = _cache.Report();

        Assert.False(_cache.Share(from, to, tokens));

        Assert.Equal(before, _cache.Report());
    }

    [Fact]
    public void What_one_slice_frees_serves_another()
    {
        Extend((1, 0, 128));
        Extend((2, 0, 96), (1, 0, 1));
        Assert.Equal([1, 96], _cache.Report().Select(sequence => sequence.Tokens));
        Assert.Equal(0, _cache.FreeBlocks);
    }

    [Fact]
    public void A_full_cache_refuses_the_whole_step_and_stays_as_it_was()
    {
        Extend((1, 0, 60));
        var before = _cache.Report();
        var error = Assert.Throws<KvFullException>(() => Extend((1, 20, 1), (2, 0, 32), (3, 0, 65)));
        Assert.Equal((3, 2, 4), (error.Needed, error.Free, error.Blocks));
        Assert.Contains("2 of 4", error.Message, StringComparison.Ordinal);
        Assert.Equal(before, _cache.Report());
        Extend((3, 0, 64));
    }

    [Theory]
    [InlineData(1, 11, 1, "start")]
    [InlineData(1, -1, 1, "start")]
    [InlineData(2, 1, 1, "start")]
    [InlineData(1, 10, 0, "count")]
    [InlineData(1, 10, -3, "count")]
    public void A_slice_that_does_not_join_is_refused(long sequence, int start, int count, string key)
    {
        Extend((1, 0, 10));
        var before = _cache.Report();
        var error = Assert.Throws<InvalidInputException>(() => Extend((sequence, start, count)));
        Assert.Equal($"slices[0].{key}", error.Errors.Single().Key);
        Assert.Equal(before, _cache.Report());
    }

    [Fact]
    public void A_sequence_comes_once_in_a_step() =>
        Assert.Throws<InvalidInputException>(() => Extend((1, 0, 10), (1, 10, 1)));

    [Fact]
    public void A_length_past_all_numbers_is_refused()
    {
        Extend((1, 0, 10));
        Assert.Throws<KvFullException>(() => Extend((1, 10, int.MaxValue)));
    }

    [Fact]
    public void Releasing_frees_all_blocks()
    {
        Extend((1, 0, 128));
        Assert.True(_cache.Release(1));
        Assert.False(_cache.Release(1));
        Assert.Equal(4, _cache.FreeBlocks);
        Assert.Empty(_cache.Report());
    }

    [Fact]
    public void No_block_is_lost_or_shared_whatever_happens()
    {
        var random = new Random(1);
        var cache = new KvBlocks(16, 1);
        for (var step = 0; step < 20_000; step++)
        {
            var length = cache.Report().ToDictionary(sequence => sequence.Sequence, sequence => sequence.Tokens);
            if (random.Next(5) == 0)
                cache.Release(random.Next(6));
            try
            {
                cache.Extend(
                    [.. Enumerable.Range(0, 6).Where(_ => random.Next(2) == 0).Select(sequence => new SequenceSlice(
                        sequence, random.Next(length.GetValueOrDefault(sequence) + 1), random.Next(1, 90)))],
                    _slices);
            }
            catch (Exception exception) when (exception is KvFullException or InvalidInputException)
            {
                continue;
            }
            Assert.Equal(16, cache.FreeBlocks + cache.Report().Sum(sequence => sequence.Blocks));
            var held = _slices.SelectMany(slice => slice.BlockTable).ToArray();
            Assert.Equal(held.Length, held.Distinct().Count());
            Assert.All(_slices, slice => Assert.Equal(StageSpec.BlocksFor(slice.Start + slice.Count), slice.BlockTable.Count));
        }
    }

    private void Extend(params (long Sequence, int Start, int Count)[] slices) =>
        _cache.Extend([.. slices.Select(slice => new SequenceSlice(slice.Sequence, slice.Start, slice.Count))], _slices);
}
