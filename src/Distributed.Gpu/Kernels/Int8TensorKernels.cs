using Distributed.Gpu.Formats;
using ILGPU;
using ILGPU.Runtime;

namespace Distributed.Gpu.Kernels;

/// <summary>
/// The products of <see cref="Int8MatVecKernels"/> for many inputs on tensor cores, to the same bits. A group has a tile of rows and
/// inputs; 256 columns of both at a time lie in shared memory, the weights unpacked there once for all inputs. Each of its eight warps
/// takes one of the eight blocks of 32 columns, so it adds up what one lane of a row does there; in the end the warps are added like
/// those lanes.
/// </summary>
public static class Int8TensorKernels
{
    /// <summary>Rows in a tile.</summary>
    public const int TileRows = 2 * TensorCore.Rows;

    /// <summary>Inputs in a tile.</summary>
    public const int TileTokens = 4 * TensorCore.Columns;

    /// <summary>Threads of a group: a warp for each block of a step.</summary>
    public const int Threads = Int8TileKernels.StepBlocks * TensorCore.Lanes;

    // Words between the blocks of two rows: eight, and as many more as make eight rows lie in different banks.
    private const int Pitch = 12;
    private const int TileWords = Int8TileKernels.StepBlocks * TileRows * Pitch;
    private const int Results = TileRows * TileTokens;

    /// <summary>Where a word of a tile lies in shared memory.</summary>
    /// <param name="block">Which 32 columns of the step.</param>
    /// <param name="row">The row of weights, or the input.</param>
    /// <param name="word">Which four of the 32.</param>
    public static int WordAt(int block, int row, int word) => (((block * TileRows) + row) * Pitch) + word;

    /// <summary>Where a scale or sum of a tile lies.</summary>
    public static int FactorAt(int block, int row) => (block * TileRows) + row;

    /// <summary>A group of <see cref="Threads"/> for each tile of inputs and of rows.</summary>
    /// <inheritdoc cref="Int8TileKernels.Multiply{TFormat}"/>
    [Kernel(since: 80)]
    public static void Multiply<TFormat>(
        ArrayView<byte> weights, ArrayView<byte> input, Int8Layout layout, ArrayView<int> tiles, ArrayView<int> order,
        ArrayView<float> output, MatVecShape shape, int tileCount)
        where TFormat : unmanaged, IInt8Format
    {
        var weightWords = SharedMemory.Allocate<int>(TileWords);
        var inputWords = SharedMemory.Allocate<int>(TileWords);
        var scales = SharedMemory.Allocate<float>(Int8TileKernels.StepBlocks * TileRows);
        var offsets = SharedMemory.Allocate<float>(Int8TileKernels.StepBlocks * TileRows);
        var inputScales = SharedMemory.Allocate<float>(Int8TileKernels.StepBlocks * TileTokens);
        var inputSums = SharedMemory.Allocate<int>(Int8TileKernels.StepBlocks * TileTokens);
        var parts = SharedMemory.Allocate<float>(Int8TileKernels.StepBlocks / 2 * Results);

        var format = default(TFormat);
        var tile = TileChoice.Of(Grid.IdxX % tileCount, TileTokens, shape.Tokens, tiles);
        // The same for the whole group.
        if (tile.Expert < 0)
            return;
        var firstRow = Grid.IdxX / tileCount * TileRows;
        var blocks = shape.Columns / Int8MatVecKernels.BlockLength;
        // Each thread brings one block of a row of weights and one of an input; eight threads side by side a row's.
        var (mine, myBlock) = (Group.IdxX / Int8TileKernels.StepBlocks, Group.IdxX % Int8TileKernels.StepBlocks);
        var weightRow = Math.Min(firstRow + mine, shape.Rows - 1) + ((long)tile.Expert * shape.Rows);
        var source = (long)(tile.Choice(mine, order) / shape.InputDivisor) * blocks;
        var (to, factor) = (WordAt(myBlock, mine, 0), FactorAt(myBlock, mine));
        var all = Words.View(input);

        var (warp, lane) = (Group.IdxX / TensorCore.Lanes, Group.IdxX % TensorCore.Lanes);
        var (row, word, column) = (TensorCore.Row(lane), TensorCore.Word(lane), TensorCore.ResultColumn(lane));
        var r0 = default(Sums);
        var r1 = default(Sums);
        var r2 = default(Sums);
        var r3 = default(Sums);
        var r4 = default(Sums);
        var r5 = default(Sums);
        var r6 = default(Sums);
        var r7 = default(Sums);
        for (var first = 0; first < blocks; first += Int8TileKernels.StepBlocks)
        {
            var weight = format.Read(weights, weightRow, shape.Columns, first + myBlock);
            Put(weightWords, to, weight.First, weight.Second);
            scales[factor] = weight.Scale;
            // Without an offset there is room for the factors of halves.
            offsets[factor] = format.HasHalves
                ? Interop.IntAsFloat((uint)((weight.FirstFactor & 0xFFFF) | (weight.SecondFactor << 16)))
                : weight.Offset;
            var at = source + first + myBlock;
            Put(inputWords, to, all[2 * at], all[(2 * at) + 1]);
            inputScales[factor] = input.Cast<float>()[layout.Scales + at];
            inputSums[factor] = input.Cast<int>()[layout.Sums + at];
            Group.Barrier();

            var shift = weight.Shift;
            var rows = FactorAt(warp, row);
            var f0 = new RowFactors(scales[rows], offsets[rows], scales[rows + 8], offsets[rows + 8]);
            var f1 = new RowFactors(scales[rows + 16], offsets[rows + 16], scales[rows + 24], offsets[rows + 24]);
            var a = WordAt(warp, row, word);
            var (a0, a1, a2, a3) = (
                weightWords[a], weightWords[a + (8 * Pitch)], weightWords[a + 4], weightWords[a + (8 * Pitch) + 4]);
            a += TensorCore.Rows * Pitch;
            var (b0, b1, b2, b3) = (
                weightWords[a], weightWords[a + (8 * Pitch)], weightWords[a + 4], weightWords[a + (8 * Pitch) + 4]);
            var x = WordAt(warp, TensorCore.Column(lane), word);
            var tokens = FactorAt(warp, column);
            var (x0, x1) = (inputWords[x], inputWords[x + 4]);
            var t = new TokenFactors(inputScales[tokens], inputSums[tokens], inputScales[tokens + 1], inputSums[tokens + 1]);
            r0 = Add(r0, Product<TFormat>(a0, a1, a2, a3, x0, x1, f0), f0, t, shift, format.HasHalves);
            r1 = Add(r1, Product<TFormat>(b0, b1, b2, b3, x0, x1, f1), f1, t, shift, format.HasHalves);
            (x, tokens) = (x + (8 * Pitch), tokens + 8);
            (x0, x1) = (inputWords[x], inputWords[x + 4]);
            t = new TokenFactors(inputScales[tokens], inputSums[tokens], inputScales[tokens + 1], inputSums[tokens + 1]);
            r2 = Add(r2, Product<TFormat>(a0, a1, a2, a3, x0, x1, f0), f0, t, shift, format.HasHalves);
            r3 = Add(r3, Product<TFormat>(b0, b1, b2, b3, x0, x1, f1), f1, t, shift, format.HasHalves);
            (x, tokens) = (x + (8 * Pitch), tokens + 8);
            (x0, x1) = (inputWords[x], inputWords[x + 4]);
            t = new TokenFactors(inputScales[tokens], inputSums[tokens], inputScales[tokens + 1], inputSums[tokens + 1]);
            r4 = Add(r4, Product<TFormat>(a0, a1, a2, a3, x0, x1, f0), f0, t, shift, format.HasHalves);
            r5 = Add(r5, Product<TFormat>(b0, b1, b2, b3, x0, x1, f1), f1, t, shift, format.HasHalves);
            (x, tokens) = (x + (8 * Pitch), tokens + 8);
            (x0, x1) = (inputWords[x], inputWords[x + 4]);
            t = new TokenFactors(inputScales[tokens], inputSums[tokens], inputScales[tokens + 1], inputSums[tokens + 1]);
            r6 = Add(r6, Product<TFormat>(a0, a1, a2, a3, x0, x1, f0), f0, t, shift, format.HasHalves);
            r7 = Add(r7, Product<TFormat>(b0, b1, b2, b3, x0, x1, f1), f1, t, shift, format.HasHalves);
            // The next step's words take the place of these.
            Group.Barrier();
        }

        for (var distance = Int8TileKernels.StepBlocks / 2; distance > 0; distance /= 2)
        {
            if (warp >= distance && warp < 2 * distance)
            {
                var at = ((warp - distance) * Results) + lane;
                r0.Store(parts, at);
                r1.Store(parts, at + (4 * TensorCore.Lanes));
                r2.Store(parts, at + (8 * TensorCore.Lanes));
                r3.Store(parts, at + (12 * TensorCore.Lanes));
                r4.Store(parts, at + (16 * TensorCore.Lanes));
                r5.Store(parts, at + (20 * TensorCore.Lanes));
                r6.Store(parts, at + (24 * TensorCore.Lanes));
                r7.Store(parts, at + (28 * TensorCore.Lanes));
            }
            Group.Barrier();
            if (warp < distance)
            {
                var at = (warp * Results) + lane;
                r0 = r0.Plus(parts, at);
                r1 = r1.Plus(parts, at + (4 * TensorCore.Lanes));
                r2 = r2.Plus(parts, at + (8 * TensorCore.Lanes));
                r3 = r3.Plus(parts, at + (12 * TensorCore.Lanes));
                r4 = r4.Plus(parts, at + (16 * TensorCore.Lanes));
                r5 = r5.Plus(parts, at + (20 * TensorCore.Lanes));
                r6 = r6.Plus(parts, at + (24 * TensorCore.Lanes));
                r7 = r7.Plus(parts, at + (28 * TensorCore.Lanes));
            }
            Group.Barrier();
        }
        if (warp > 0)
            return;
        row += firstRow;
        Put(output, shape, tile, order, row, column, r0);
        Put(output, shape, tile, order, row + TensorCore.Rows, column, r1);
        Put(output, shape, tile, order, row, column + 8, r2);
        Put(output, shape, tile, order, row + TensorCore.Rows, column + 8, r3);
        Put(output, shape, tile, order, row, column + 16, r4);
        Put(output, shape, tile, order, row + TensorCore.Rows, column + 16, r5);
        Put(output, shape, tile, order, row, column + 24, r6);
        Put(output, shape, tile, order, row + TensorCore.Rows, column + 24, r7);
    }

    private static void Put(ArrayView<int> words, int at, Words4 first, Words4 second)
    {
        var sixteens = words.Cast<Words4>().AsAligned(16);
        sixteens[at / 4] = first;
        sixteens[(at / 4) + 1] = second;
    }

    /// <summary>The sums of 32 products, or of twice 16 with factors of their own.</summary>
    private static Fragment Product<TFormat>(int a0, int a1, int a2, int a3, int x0, int x1, RowFactors rows)
        where TFormat : unmanaged, IInt8Format
    {
        if (!default(TFormat).HasHalves)
            return TensorCore.Multiply(a0, a1, a2, a3, x0, x1);
        var (first, second) = (TensorCore.MultiplyHalf(a0, a1, x0), TensorCore.MultiplyHalf(a2, a3, x1));
        var (factors, below) = ((int)Interop.FloatAsInt(rows.Offset), (int)Interop.FloatAsInt(rows.BelowOffset));
        return new Fragment(
            (first.X * (short)factors) + (second.X * (factors >> 16)), (first.Y * (short)factors) + (second.Y * (factors >> 16)),
            (first.Z * (short)below) + (second.Z * (below >> 16)), (first.W * (short)below) + (second.W * (below >> 16)));
    }

    private static Sums Add(Sums sums, Fragment dots, RowFactors rows, TokenFactors tokens, int shift, bool hasHalves)
    {
        var (offset, below) = (hasHalves ? 0 : rows.Offset, hasHalves ? 0 : rows.BelowOffset);
        return new Sums(
            Int8Block.AddTo(sums.X, rows.Scale, offset, shift, dots.X, tokens.Sum, tokens.Scale),
            Int8Block.AddTo(sums.Y, rows.Scale, offset, shift, dots.Y, tokens.NextSum, tokens.NextScale),
            Int8Block.AddTo(sums.Z, rows.BelowScale, below, shift, dots.Z, tokens.Sum, tokens.Scale),
            Int8Block.AddTo(sums.W, rows.BelowScale, below, shift, dots.W, tokens.NextSum, tokens.NextScale));
    }

    private static void Put(
        ArrayView<float> output, MatVecShape shape, TileChoice tile, ArrayView<int> order, int row, int place, Sums sums)
    {
        Put(output, shape, tile, order, row, place, sums.X);
        Put(output, shape, tile, order, row, place + 1, sums.Y);
        Put(output, shape, tile, order, row + 8, place, sums.Z);
        Put(output, shape, tile, order, row + 8, place + 1, sums.W);
    }

    private static void Put(
        ArrayView<float> output, MatVecShape shape, TileChoice tile, ArrayView<int> order, int row, int place, float sum)
    {
        if (row < shape.Rows && place < tile.Count)
            MatVecKernels.Put(output, ((long)tile.Choice(place, order) * shape.Rows) + row, sum, shape.Add);
    }

    /// <summary>What a lane adds up of a product: as <see cref="Fragment"/>.</summary>
    private readonly record struct Sums(float X, float Y, float Z, float W)
    {
        public void Store(ArrayView<float> parts, int at)
        {
            parts[at] = X;
            parts[at + TensorCore.Lanes] = Y;
            parts[at + (2 * TensorCore.Lanes)] = Z;
            parts[at + (3 * TensorCore.Lanes)] = W;
        }

        public Sums Plus(ArrayView<float> parts, int at) => new(
            X + parts[at], Y + parts[at + TensorCore.Lanes], Z + parts[at + (2 * TensorCore.Lanes)], W + parts[at + (3 * TensorCore.Lanes)]);
    }

    /// <summary>Factors of a lane's row and of the one eight below.</summary>
    private readonly record struct RowFactors(float Scale, float Offset, float BelowScale, float BelowOffset);

    /// <summary>Factors of a lane's input and of the next.</summary>
    private readonly record struct TokenFactors(float Scale, int Sum, float NextScale, int NextSum);
}
