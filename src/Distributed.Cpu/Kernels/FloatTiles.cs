using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products of weights with float32 activations for several tokens: four rows become float32, 512 columns at a time, and are
/// multiplied with up to 64 tokens, as many at once as there are registers for. Each output has sixteen lanes over the columns, folded in the end.
/// </summary>
internal static unsafe class FloatTiles<T>
    where T : struct, ILanes<T>
{
    private const int Rows = 4;
    private const int TokenTile = 64;
    private const int ChunkColumns = 512;

    /// <summary>All columns of a row that come in whole lanes, times four tokens, as float32.</summary>
    /// <param name="task">The product.</param>
    /// <param name="firstRow">The first row.</param>
    /// <param name="endRow">Behind the last row.</param>
    /// <param name="convert">Makes columns [column, column + count) of a row float32; both are multiples of sixteen.</param>
    public static void Run(
        in MatMulTask task, int firstRow, int endRow, delegate*<in MatMulTask, byte*, int, int, float*, void> convert)
    {
        for (var token = 0; token < task.Tokens; token += TokenTile)
            for (var row = firstRow; row < endRow; row += Rows)
                Tile(task, row, Math.Min(Rows, endRow - row), token, Math.Min(TokenTile, task.Tokens - token), convert);
    }

    /// <summary>Adds the columns past the last whole sixteen, one by one, behind the sum of the lanes.</summary>
    public static float AddRest(in MatMulTask task, byte* weights, float* x, float sum) =>
        task.Columns % Lanes.Count == 0 ? sum : AddLast(task, weights, x, sum);

    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile(
        in MatMulTask task, int row, int rows, int firstToken, int tokens,
        delegate*<in MatMulTask, byte*, int, int, float*, void> convert)
    {
        var weights = stackalloc float[Rows * ChunkColumns];
        var lanes = stackalloc float[TokenTile * Rows * Lanes.Count];
        new Span<float>(lanes, tokens * Rows * Lanes.Count).Clear();
        var whole = task.Columns / Lanes.Count * Lanes.Count;
        for (var column = 0; column < whole; column += ChunkColumns)
        {
            var count = Math.Min(ChunkColumns, whole - column);
            for (var i = 0; i < rows; i++)
                convert(task, task.Weights + ((row + i) * task.RowBytes), column, count, weights + (i * ChunkColumns));
            var token = 0;
            for (; rows == Rows && T.Registers == 1 && token <= tokens - 4; token += 4)
                FourByFour(weights, Input(firstToken + token, task) + column, task.Columns, count, lanes + (token * Rows * Lanes.Count));
            for (; rows == Rows && T.Registers == 2 && token <= tokens - 2; token += 2)
                for (var i = 0; i < Rows; i += 2)
                {
                    TwoByTwo(
                        weights + (i * ChunkColumns), Input(firstToken + token, task) + column, task.Columns, count,
                        lanes + (((token * Rows) + i) * Lanes.Count));
                }
            for (; token < tokens; token++)
                for (var i = 0; i < rows; i++)
                {
                    OneByOne(
                        weights + (i * ChunkColumns), Input(firstToken + token, task) + column, count,
                        lanes + (((token * Rows) + i) * Lanes.Count));
                }
        }
        for (var token = 0; token < tokens; token++)
            for (var i = 0; i < rows; i++)
            {
                var sum = T.Sum(T.Load(lanes + (((token * Rows) + i) * Lanes.Count)));
                task.Write(
                    firstToken + token, row + i,
                    AddRest(task, task.Weights + ((row + i) * task.RowBytes), Input(firstToken + token, task), sum));
            }
    }

    private static float* Input(int token, in MatMulTask task) => task.Values + ((long)token * task.Columns);

    /// <summary>Adds the products of four rows and four tokens to their lanes [tokens][rows].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourByFour(float* w, float* x0, long stride, int count, float* lanes)
    {
        var x1 = x0 + stride;
        var x2 = x1 + stride;
        var x3 = x2 + stride;
        var (a0, a1, a2, a3) = (Lane(lanes, 0), Lane(lanes, 1), Lane(lanes, 2), Lane(lanes, 3));
        var (b0, b1, b2, b3) = (Lane(lanes, 4), Lane(lanes, 5), Lane(lanes, 6), Lane(lanes, 7));
        var (c0, c1, c2, c3) = (Lane(lanes, 8), Lane(lanes, 9), Lane(lanes, 10), Lane(lanes, 11));
        var (d0, d1, d2, d3) = (Lane(lanes, 12), Lane(lanes, 13), Lane(lanes, 14), Lane(lanes, 15));
        for (var i = 0; i < count; i += Lanes.Count, w += Lanes.Count)
        {
            var w0 = T.Load(w);
            var w1 = T.Load(w + ChunkColumns);
            var w2 = T.Load(w + (2 * ChunkColumns));
            var w3 = T.Load(w + (3 * ChunkColumns));
            var x = T.Load(x0 + i);
            a0 = T.MultiplyAdd(w0, x, a0);
            a1 = T.MultiplyAdd(w1, x, a1);
            a2 = T.MultiplyAdd(w2, x, a2);
            a3 = T.MultiplyAdd(w3, x, a3);
            x = T.Load(x1 + i);
            b0 = T.MultiplyAdd(w0, x, b0);
            b1 = T.MultiplyAdd(w1, x, b1);
            b2 = T.MultiplyAdd(w2, x, b2);
            b3 = T.MultiplyAdd(w3, x, b3);
            x = T.Load(x2 + i);
            c0 = T.MultiplyAdd(w0, x, c0);
            c1 = T.MultiplyAdd(w1, x, c1);
            c2 = T.MultiplyAdd(w2, x, c2);
            c3 = T.MultiplyAdd(w3, x, c3);
            x = T.Load(x3 + i);
            d0 = T.MultiplyAdd(w0, x, d0);
            d1 = T.MultiplyAdd(w1, x, d1);
            d2 = T.MultiplyAdd(w2, x, d2);
            d3 = T.MultiplyAdd(w3, x, d3);
        }
        Store(lanes, a0, a1, a2, a3);
        Store(lanes + (4 * Lanes.Count), b0, b1, b2, b3);
        Store(lanes + (8 * Lanes.Count), c0, c1, c2, c3);
        Store(lanes + (12 * Lanes.Count), d0, d1, d2, d3);
    }

    /// <summary>Adds the products of two rows and two tokens to their lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TwoByTwo(float* w, float* x0, long stride, int count, float* lanes)
    {
        var x1 = x0 + stride;
        var (a0, a1) = (Lane(lanes, 0), Lane(lanes, 1));
        var (b0, b1) = (Lane(lanes, Rows), Lane(lanes, Rows + 1));
        for (var i = 0; i < count; i += Lanes.Count, w += Lanes.Count)
        {
            var w0 = T.Load(w);
            var w1 = T.Load(w + ChunkColumns);
            var x = T.Load(x0 + i);
            a0 = T.MultiplyAdd(w0, x, a0);
            a1 = T.MultiplyAdd(w1, x, a1);
            x = T.Load(x1 + i);
            b0 = T.MultiplyAdd(w0, x, b0);
            b1 = T.MultiplyAdd(w1, x, b1);
        }
        T.Store(a0, lanes);
        T.Store(a1, lanes + Lanes.Count);
        T.Store(b0, lanes + (Rows * Lanes.Count));
        T.Store(b1, lanes + ((Rows + 1) * Lanes.Count));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneByOne(float* w, float* x, int count, float* lanes)
    {
        var sum = T.Load(lanes);
        for (var i = 0; i < count; i += Lanes.Count)
            sum = T.MultiplyAdd(T.Load(w + i), T.Load(x + i), sum);
        T.Store(sum, lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Lane(float* lanes, int index) => T.Load(lanes + (index * Lanes.Count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* target, T a, T b, T c, T d)
    {
        T.Store(a, target);
        T.Store(b, target + Lanes.Count);
        T.Store(c, target + (2 * Lanes.Count));
        T.Store(d, target + (3 * Lanes.Count));
    }

    private static float AddLast(in MatMulTask task, byte* weights, float* x, float sum)
    {
        var rest = stackalloc float[Lanes.Count];
        var type = task.Kernel.Type;
        var column = task.Columns / Lanes.Count * Lanes.Count;
        var size = type.BlockBytes / type.BlockLength;
        type.Dequantize(
            new ReadOnlySpan<byte>(weights + ((long)column * size), (task.Columns - column) * size), new Span<float>(rest, Lanes.Count));
        for (var i = 0; column < task.Columns; i++, column++)
            sum = MathF.FusedMultiplyAdd(rest[i], x[column], sum);
        return sum;
    }
}
