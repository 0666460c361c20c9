using Distributed.Gpu.Formats;
using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>The shape of a product of a weight matrix with a few inputs.</summary>
/// <param name="Rows">Rows of the matrix, or of one expert's.</param>
/// <param name="Columns">Values per row.</param>
/// <param name="Tokens">Inputs, or choices of experts.</param>
/// <param name="InputDivisor">Output t takes input t / InputDivisor: 1, or the experts of a token where its choices share its input.</param>
/// <param name="Add">1 adds to the output, 0 sets it.</param>
public readonly record struct MatVecShape(int Rows, int Columns, int Tokens, int InputDivisor, int Add);

/// <summary>
/// Products of weights of any format with float32 inputs: a warp for each row. Each lane adds up every value of its place modulo the
/// warp's size, then the lanes are added: the same order however many inputs there are, so a token's bits do not depend on its batch.
/// </summary>
public static class MatVecKernels
{
    /// <summary>Inputs that <see cref="Four"/> takes at once.</summary>
    public const int TileTokens = 4;

    /// <summary>One input for each warp; with experts, of the matrix of its own.</summary>
    /// <typeparam name="TFormat">The weights' format.</typeparam>
    /// <param name="weights">All rows.</param>
    /// <param name="books">The formats' tables.</param>
    /// <param name="input">[tokens / InputDivisor, columns]</param>
    /// <param name="experts">The expert of each token; empty for none.</param>
    /// <param name="output">[tokens, rows]</param>
    /// <param name="shape">The shape.</param>
    [Kernel]
    public static void One<TFormat>(
        ArrayView<byte> weights, ArrayView<sbyte> books, ArrayView<float> input, ArrayView<int> experts, ArrayView<float> output,
        MatVecShape shape)
        where TFormat : unmanaged, IWeightFormat
    {
        var format = default(TFormat);
        var warps = Group.DimX / Warp.WarpSize;
        var groups = (shape.Rows + warps - 1) / warps;
        var token = Grid.IdxX / groups;
        var row = (Grid.IdxX % groups * warps) + Warp.WarpIdx;
        // Warps without a row of their own take the last one: all must be there when lanes are added.
        var last = Math.Min(row, shape.Rows - 1);
        long weightRow = last;
        if (experts.Length > 0)
            weightRow += (long)experts[token] * shape.Rows;
        var start = weightRow * (shape.Columns / format.BlockLength) * format.BlockBytes;
        var x = (long)(token / shape.InputDivisor) * shape.Columns;
        var sum = 0f;
        for (var i = Warp.LaneIdx; i < shape.Columns; i += Warp.WarpSize)
        {
            var block = start + ((long)(i / format.BlockLength) * format.BlockBytes);
            sum = Fused.MultiplyAdd(format.Value(weights, books, block, i % format.BlockLength), input[x + i], sum);
        }
        sum = WarpSum.OfWarp(sum);
        if (Warp.LaneIdx == 0 && row < shape.Rows)
            Put(output, ((long)token * shape.Rows) + row, sum, shape.Add);
    }

    /// <summary>Four inputs for each warp, so that a weight is read and unpacked once for all of them; no experts.</summary>
    /// <inheritdoc cref="One{TFormat}"/>
    [Kernel]
    public static void Four<TFormat>(
        ArrayView<byte> weights, ArrayView<sbyte> books, ArrayView<float> input, ArrayView<float> output, MatVecShape shape)
        where TFormat : unmanaged, IWeightFormat
    {
        var format = default(TFormat);
        var warps = Group.DimX / Warp.WarpSize;
        var groups = (shape.Rows + warps - 1) / warps;
        var token = Grid.IdxX / groups * TileTokens;
        var row = (Grid.IdxX % groups * warps) + Warp.WarpIdx;
        var start = (long)Math.Min(row, shape.Rows - 1) * (shape.Columns / format.BlockLength) * format.BlockBytes;
        var left = shape.Tokens - token;
        var x0 = (long)token * shape.Columns;
        var x1 = left > 1 ? x0 + shape.Columns : x0;
        var x2 = left > 2 ? x1 + shape.Columns : x0;
        var x3 = left > 3 ? x2 + shape.Columns : x0;
        float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
        for (var i = Warp.LaneIdx; i < shape.Columns; i += Warp.WarpSize)
        {
            var block = start + ((long)(i / format.BlockLength) * format.BlockBytes);
            var weight = format.Value(weights, books, block, i % format.BlockLength);
            sum0 = Fused.MultiplyAdd(weight, input[x0 + i], sum0);
            sum1 = Fused.MultiplyAdd(weight, input[x1 + i], sum1);
            sum2 = Fused.MultiplyAdd(weight, input[x2 + i], sum2);
            sum3 = Fused.MultiplyAdd(weight, input[x3 + i], sum3);
        }
        sum0 = WarpSum.OfWarp(sum0);
        sum1 = WarpSum.OfWarp(sum1);
        sum2 = WarpSum.OfWarp(sum2);
        sum3 = WarpSum.OfWarp(sum3);
        if (Warp.LaneIdx != 0 || row >= shape.Rows)
            return;
        var at = ((long)token * shape.Rows) + row;
        Put(output, at, sum0, shape.Add);
        if (left > 1)
            Put(output, at + shape.Rows, sum1, shape.Add);
        if (left > 2)
            Put(output, at + (2L * shape.Rows), sum2, shape.Add);
        if (left > 3)
            Put(output, at + (3L * shape.Rows), sum3, shape.Add);
    }

    /// <summary>output[i] = table[tokens[i]], dequantised: a thread for each value.</summary>
    [Kernel]
    public static void Embed<TFormat>(
        Index1D index, ArrayView<byte> weights, ArrayView<sbyte> books, ArrayView<int> tokens, ArrayView<float> output, int columns)
        where TFormat : unmanaged, IWeightFormat
    {
        var format = default(TFormat);
        var column = index % columns;
        var start = (long)tokens[index / columns] * (columns / format.BlockLength) * format.BlockBytes;
        output[index] = format.Value(
            weights, books, start + ((long)(column / format.BlockLength) * format.BlockBytes), column % format.BlockLength);
    }

    /// <summary>Sets or adds to a value.</summary>
    public static void Put(ArrayView<float> output, long at, float value, int add) => output[at] = add != 0 ? output[at] + value : value;
}
