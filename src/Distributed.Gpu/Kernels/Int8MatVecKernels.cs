using Distributed.Gpu.Formats;
using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>
/// Inputs as signed bytes: [tokens][columns] bytes, then for each 32 of them a scale (the largest magnitude / 127), then their sum.
/// </summary>
/// <param name="Tokens">Inputs.</param>
/// <param name="Columns">Values of each, a multiple of 32.</param>
public readonly record struct Int8Layout(int Tokens, int Columns)
{
    /// <summary>Where the scales begin, in words of four bytes.</summary>
    public long Scales => (long)Tokens * Columns / 4;

    /// <summary>Where the sums begin, in words of four bytes.</summary>
    public long Sums => Scales + ((long)Tokens * Columns / 32);

    /// <summary>Blocks of 32 values.</summary>
    public long Blocks => (long)Tokens * Columns / Int8MatVecKernels.BlockLength;

    /// <summary>Bytes of all.</summary>
    public long Bytes => (Sums + ((long)Tokens * Columns / 32)) * 4;
}

/// <summary>
/// Products of weights and inputs as bytes: eight lanes for each row, a lane for each 32 values, four of them in one instruction (dp4a)
/// where the device has it. Sums over 32 values are whole numbers. Each lane adds up every block of its place modulo eight (rows are
/// multiples of 256 values, and eight lanes read 128 bytes in one), then the lanes are added: the same order in all kernels.
/// </summary>
public static class Int8MatVecKernels
{
    /// <summary>Values that share a scale.</summary>
    public const int BlockLength = 32;

    /// <summary>Values that a row must have a multiple of: a block for each of the most lanes.</summary>
    public const int RowMultiple = MostLanes * BlockLength;

    /// <summary>The most lanes that share a row.</summary>
    public const int MostLanes = 8;

    /// <summary>Lanes that share a row: it is what the order of additions depends on, so it is the same in all kernels.</summary>
    public static int LanesOfRow() => Math.Min(MostLanes, Warp.WarpSize);

    /// <summary>One input for each row; with experts, of the matrix of its own.</summary>
    /// <typeparam name="TFormat">The weights' format.</typeparam>
    /// <param name="weights">All rows.</param>
    /// <param name="input">[tokens / InputDivisor] inputs.</param>
    /// <param name="layout">The inputs' layout.</param>
    /// <param name="experts">The expert of each token; empty for none.</param>
    /// <param name="output">[tokens, rows]</param>
    /// <param name="shape">The shape.</param>
    [Kernel]
    public static void One<TFormat>(
        ArrayView<byte> weights, ArrayView<byte> input, Int8Layout layout, ArrayView<int> experts, ArrayView<float> output,
        MatVecShape shape)
        where TFormat : unmanaged, IInt8Format
    {
        var lanes = LanesOfRow();
        var rows = Group.DimX / lanes;
        var groups = (shape.Rows + rows - 1) / rows;
        var token = Grid.IdxX / groups;
        var row = (Grid.IdxX % groups * rows) + (Group.IdxX / lanes);
        long weightRow = Math.Min(row, shape.Rows - 1);
        if (experts.Length > 0)
            weightRow += (long)experts[token] * shape.Rows;
        var sum = Product<TFormat>(weights, weightRow, input, layout, token / shape.InputDivisor, shape.Columns);
        if (Group.IdxX % lanes == 0 && row < shape.Rows)
            MatVecKernels.Put(output, ((long)token * shape.Rows) + row, sum, shape.Add);
    }

    /// <summary>One input for the rows of several matrices.</summary>
    /// <typeparam name="TFormat">The weights' format.</typeparam>
    /// <param name="matrices">The matrices and where their products go.</param>
    /// <param name="input">The input.</param>
    /// <param name="layout">The input's layout.</param>
    /// <param name="columns">Values per row.</param>
    [Kernel]
    public static void Several<TFormat>(Int8Matrices matrices, ArrayView<byte> input, Int8Layout layout, int columns)
        where TFormat : unmanaged, IInt8Format
    {
        var lanes = LanesOfRow();
        var perGroup = Group.DimX / lanes;
        var group = Grid.IdxX;
        var (weights, output, rows) = (matrices.First, matrices.FirstOutput, matrices.FirstRows);
        var groups = (rows + perGroup - 1) / perGroup;
        if (group >= groups)
        {
            group -= groups;
            (weights, output, rows) = (matrices.Second, matrices.SecondOutput, matrices.SecondRows);
            groups = (rows + perGroup - 1) / perGroup;
            if (group >= groups)
            {
                group -= groups;
                (weights, output, rows) = (matrices.Third, matrices.ThirdOutput, matrices.ThirdRows);
            }
        }
        var row = (group * perGroup) + (Group.IdxX / lanes);
        var sum = Product<TFormat>(weights, Math.Min(row, rows - 1), input, layout, 0, columns);
        if (Group.IdxX % lanes == 0 && row < rows)
            output[row] = sum;
    }

    /// <summary>Four inputs for each row; no experts.</summary>
    /// <inheritdoc cref="One{TFormat}"/>
    [Kernel]
    public static void Four<TFormat>(
        ArrayView<byte> weights, ArrayView<byte> input, Int8Layout layout, ArrayView<float> output, MatVecShape shape)
        where TFormat : unmanaged, IInt8Format
    {
        var format = default(TFormat);
        var lanes = LanesOfRow();
        var rows = Group.DimX / lanes;
        var groups = (shape.Rows + rows - 1) / rows;
        var token = Grid.IdxX / groups * MatVecKernels.TileTokens;
        var row = (Grid.IdxX % groups * rows) + (Group.IdxX / lanes);
        var weightRow = Math.Min(row, shape.Rows - 1);
        var blocks = shape.Columns / BlockLength;
        var left = shape.Tokens - token;
        var x0 = (long)token * blocks;
        var x1 = left > 1 ? x0 + blocks : x0;
        var x2 = left > 2 ? x1 + blocks : x0;
        var x3 = left > 3 ? x2 + blocks : x0;
        float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
        for (var block = Group.IdxX % lanes; block < blocks; block += lanes)
        {
            var weight = format.Read(weights, weightRow, shape.Columns, block);
            sum0 = Add(sum0, weight, input, layout, x0 + block);
            sum1 = Add(sum1, weight, input, layout, x1 + block);
            sum2 = Add(sum2, weight, input, layout, x2 + block);
            sum3 = Add(sum3, weight, input, layout, x3 + block);
        }
        sum0 = WarpSum.OfLanes(sum0, lanes);
        sum1 = WarpSum.OfLanes(sum1, lanes);
        sum2 = WarpSum.OfLanes(sum2, lanes);
        sum3 = WarpSum.OfLanes(sum3, lanes);
        if (Group.IdxX % lanes != 0 || row >= shape.Rows)
            return;
        var at = ((long)token * shape.Rows) + row;
        MatVecKernels.Put(output, at, sum0, shape.Add);
        if (left > 1)
            MatVecKernels.Put(output, at + shape.Rows, sum1, shape.Add);
        if (left > 2)
            MatVecKernels.Put(output, at + (2L * shape.Rows), sum2, shape.Add);
        if (left > 3)
            MatVecKernels.Put(output, at + (3L * shape.Rows), sum3, shape.Add);
    }

    /// <summary>output[i] = table[tokens[i]], dequantised: a thread for each value.</summary>
    [Kernel]
    public static void Embed<TFormat>(Index1D index, ArrayView<byte> weights, ArrayView<int> tokens, ArrayView<float> output, int columns)
        where TFormat : unmanaged, IInt8Format
    {
        var format = default(TFormat);
        output[index] = format.Value(weights, tokens[index / columns], columns, index % columns);
    }

    /// <summary>The product of a row with an input, in all lanes that share the row. All lanes of the warp must be here.</summary>
    private static float Product<TFormat>(
        ArrayView<byte> weights, long row, ArrayView<byte> input, Int8Layout layout, long token, int columns)
        where TFormat : unmanaged, IInt8Format
    {
        var (lanes, blocks) = (LanesOfRow(), columns / BlockLength);
        var sum = 0f;
        for (var block = Group.IdxX % lanes; block < blocks; block += lanes)
            sum = Add(sum, default(TFormat).Read(weights, row, columns, block), input, layout, (token * blocks) + block);
        return WarpSum.OfLanes(sum, lanes);
    }

    /// <summary>Adds 32 weights times 32 values of an input.</summary>
    private static float Add(float sum, Int8Block weight, ArrayView<byte> input, Int8Layout layout, long block)
    {
        var words = Words.View(input);
        var dot = weight.Dot(words[block * 2], words[(block * 2) + 1]);
        return weight.AddTo(sum, dot, input.Cast<int>()[layout.Sums + block], input.Cast<float>()[layout.Scales + block]);
    }
}
