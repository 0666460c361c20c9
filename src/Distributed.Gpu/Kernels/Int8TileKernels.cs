using Distributed.Gpu.Formats;
using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>
/// The products of <see cref="Int8MatVecKernels"/> for many inputs, to the same bits: a tile of inputs lies in shared memory, 256 columns
/// at a time, and each weight is read and unpacked once for all of them. For devices without tensor cores.
/// </summary>
public static class Int8TileKernels
{
    /// <summary>Inputs in a tile.</summary>
    public const int TileTokens = 16;

    /// <summary>Blocks of 32 columns that are staged at once.</summary>
    public const int StepBlocks = Int8MatVecKernels.RowMultiple / Int8MatVecKernels.BlockLength;

    private const int StepWords = Int8MatVecKernels.RowMultiple / 16;

    /// <summary>A group for each tile and as many rows as its threads have.</summary>
    /// <typeparam name="TFormat">The weights' format.</typeparam>
    /// <param name="weights">All rows.</param>
    /// <param name="input">[tokens / InputDivisor] inputs.</param>
    /// <param name="layout">The inputs' layout.</param>
    /// <param name="tiles">As <see cref="TileChoice.Of"/> takes them.</param>
    /// <param name="order">As <see cref="TileChoice.Choice"/> takes it.</param>
    /// <param name="output">[tokens, rows]</param>
    /// <param name="shape">The shape.</param>
    /// <param name="tileCount">Tiles.</param>
    [Kernel]
    public static void Multiply<TFormat>(
        ArrayView<byte> weights, ArrayView<byte> input, Int8Layout layout, ArrayView<int> tiles, ArrayView<int> order,
        ArrayView<float> output, MatVecShape shape, int tileCount)
        where TFormat : unmanaged, IInt8Format
    {
        var words = SharedMemory.Allocate<Words4>(TileTokens * StepWords);
        var scales = SharedMemory.Allocate<float>(TileTokens * StepBlocks);
        var inputSums = SharedMemory.Allocate<int>(TileTokens * StepBlocks);
        var format = default(TFormat);
        var lanes = Int8MatVecKernels.LanesOfRow();
        var tile = TileChoice.Of(Grid.IdxX % tileCount, TileTokens, shape.Tokens, tiles);
        // The same for the whole group.
        if (tile.Expert < 0)
            return;
        var row = (Grid.IdxX / tileCount * (Group.DimX / lanes)) + (Group.IdxX / lanes);
        var weightRow = Math.Min(row, shape.Rows - 1) + ((long)tile.Expert * shape.Rows);
        var blocks = shape.Columns / Int8MatVecKernels.BlockLength;
        var (all, allScales, allSums) = (Words.View(input), input.Cast<float>(), input.Cast<int>());
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
        float s8 = 0, s9 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0, s14 = 0, s15 = 0;
        for (var first = 0; first < blocks; first += StepBlocks)
        {
            for (var i = Group.IdxX; i < TileTokens * StepBlocks; i += Group.DimX)
            {
                var source = ((long)(tile.Choice(i / StepBlocks, order) / shape.InputDivisor) * blocks) + first + (i % StepBlocks);
                words[2 * i] = all[2 * source];
                words[(2 * i) + 1] = all[(2 * source) + 1];
                scales[i] = allScales[layout.Scales + source];
                inputSums[i] = allSums[layout.Sums + source];
            }
            Group.Barrier();
            for (var block = Group.IdxX % lanes; block < StepBlocks; block += lanes)
            {
                var weight = format.Read(weights, weightRow, shape.Columns, first + block);
                s0 = Add(s0, weight, words, scales, inputSums, block);
                s1 = Add(s1, weight, words, scales, inputSums, block + StepBlocks);
                s2 = Add(s2, weight, words, scales, inputSums, block + (2 * StepBlocks));
                s3 = Add(s3, weight, words, scales, inputSums, block + (3 * StepBlocks));
                s4 = Add(s4, weight, words, scales, inputSums, block + (4 * StepBlocks));
                s5 = Add(s5, weight, words, scales, inputSums, block + (5 * StepBlocks));
                s6 = Add(s6, weight, words, scales, inputSums, block + (6 * StepBlocks));
                s7 = Add(s7, weight, words, scales, inputSums, block + (7 * StepBlocks));
                s8 = Add(s8, weight, words, scales, inputSums, block + (8 * StepBlocks));
                s9 = Add(s9, weight, words, scales, inputSums, block + (9 * StepBlocks));
                s10 = Add(s10, weight, words, scales, inputSums, block + (10 * StepBlocks));
                s11 = Add(s11, weight, words, scales, inputSums, block + (11 * StepBlocks));
                s12 = Add(s12, weight, words, scales, inputSums, block + (12 * StepBlocks));
                s13 = Add(s13, weight, words, scales, inputSums, block + (13 * StepBlocks));
                s14 = Add(s14, weight, words, scales, inputSums, block + (14 * StepBlocks));
                s15 = Add(s15, weight, words, scales, inputSums, block + (15 * StepBlocks));
            }
            // The next inputs take the place of these.
            Group.Barrier();
        }
        Put(output, shape, tile, order, row, 0, s0);
        Put(output, shape, tile, order, row, 1, s1);
        Put(output, shape, tile, order, row, 2, s2);
        Put(output, shape, tile, order, row, 3, s3);
        Put(output, shape, tile, order, row, 4, s4);
        Put(output, shape, tile, order, row, 5, s5);
        Put(output, shape, tile, order, row, 6, s6);
        Put(output, shape, tile, order, row, 7, s7);
        Put(output, shape, tile, order, row, 8, s8);
        Put(output, shape, tile, order, row, 9, s9);
        Put(output, shape, tile, order, row, 10, s10);
        Put(output, shape, tile, order, row, 11, s11);
        Put(output, shape, tile, order, row, 12, s12);
        Put(output, shape, tile, order, row, 13, s13);
        Put(output, shape, tile, order, row, 14, s14);
        Put(output, shape, tile, order, row, 15, s15);
    }

    private static float Add(
        float sum, Int8Block weight, ArrayView<Words4> words, ArrayView<float> scales, ArrayView<int> inputSums, int at) =>
        weight.AddTo(sum, weight.Dot(words[2 * at], words[(2 * at) + 1]), inputSums[at], scales[at]);

    // All lanes of a warp must be here.
    private static void Put(
        ArrayView<float> output, MatVecShape shape, TileChoice tile, ArrayView<int> order, int row, int place, float sum)
    {
        var lanes = Int8MatVecKernels.LanesOfRow();
        sum = WarpSum.OfLanes(sum, lanes);
        if (Group.IdxX % lanes == 0 && row < shape.Rows && place < tile.Count)
            MatVecKernels.Put(output, ((long)tile.Choice(place, order) * shape.Rows) + row, sum, shape.Add);
    }
}
