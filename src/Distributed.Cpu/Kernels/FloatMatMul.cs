using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Weights that become float32 on their way into a register.</summary>
internal unsafe interface IFloatWeights
{
    static abstract QuantType Type { get; }

    /// <summary>Sixteen weights from column <paramref name="column"/> on.</summary>
    static abstract T Load<T>(byte* row, int column)
        where T : struct, ILanes<T>;
}

internal readonly unsafe struct F32Weights : IFloatWeights
{
    public static QuantType Type => F32.Type;

    public static T Load<T>(byte* row, int column)
        where T : struct, ILanes<T> => T.Load((float*)row + column);
}

internal readonly unsafe struct F16Weights : IFloatWeights
{
    public static QuantType Type => F16.Type;

    public static T Load<T>(byte* row, int column)
        where T : struct, ILanes<T> => T.LoadHalf((ushort*)row + column);
}

internal readonly unsafe struct BF16Weights : IFloatWeights
{
    public static QuantType Type => BF16.Type;

    public static T Load<T>(byte* row, int column)
        where T : struct, ILanes<T> => T.LoadBrain((ushort*)row + column);
}

/// <summary>
/// Products with float32 activations in sixteen lanes over the columns. Few tokens: four rows at a time, weights converted on their
/// way into registers. Many tokens: four rows are converted, some columns at a time, and multiplied with up to 64 tokens.
/// </summary>
internal unsafe class FloatMatMul<TWeights, T>(InstructionSets needs) : MatMulKernel(TWeights.Type, needs)
    where TWeights : struct, IFloatWeights
    where T : struct, ILanes<T>
{
    /// <summary>With fewer tokens, converting weights into a buffer costs more than it saves.</summary>
    protected virtual int ManyTokens => 3;

    /// <summary>Tokens that <see cref="FourRows"/> takes at once.</summary>
    protected virtual int TokensAtOnce => 1;

    /// <summary>Makes some columns of a row float32; see <see cref="FloatTiles{T}.Run"/>.</summary>
    protected virtual delegate*<in MatMulTask, byte*, int, int, float*, void> Converter => &Convert;

    public override void Run(in MatMulTask task, int firstRow, int endRow)
    {
        if (task.Tokens >= ManyTokens)
        {
            FloatTiles<T>.Run(task, firstRow, endRow, Converter);
            return;
        }
        // Four rows that are far apart: each is a stream of its own through memory, which the next four continue.
        var step = (endRow - firstRow) / 4;
        // The fewest parts, of nearly the same size.
        var parts = (task.Tokens + TokensAtOnce - 1) / TokensAtOnce;
        for (var row = firstRow; row < firstRow + step; row++)
            for (var part = 0; part < parts; part++)
                FourRows(task, row, step, part * task.Tokens / parts, (part + 1) * task.Tokens / parts);
        for (var row = firstRow + (4 * step); row < endRow; row++)
            for (var token = 0; token < task.Tokens; token++)
                One(task, row, token);
    }

    /// <summary>Multiplies four rows, that far apart, with some tokens.</summary>
    protected virtual void FourRows(in MatMulTask task, int row, int step, int token, int endToken)
    {
        var sums = stackalloc float[4];
        var weights = task.Weights + (row * task.RowBytes);
        var stride = step * task.RowBytes;
        var whole = task.Columns / Lanes.Count * Lanes.Count;
        for (; token < endToken; token++)
        {
            var x = task.Values + ((long)token * task.Columns);
            Sum(weights, stride, x, whole, sums);
            for (var i = 0; i < 4; i++)
                task.Write(token, row + (i * step), FloatTiles<T>.AddRest(task, weights + (i * stride), x, sums[i]));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Sum(byte* w0, long stride, float* x, int columns, float* sums)
    {
        var (a, b, c, d) = (T.Zero, T.Zero, T.Zero, T.Zero);
        var w1 = w0 + stride;
        var w2 = w1 + stride;
        var w3 = w2 + stride;
        for (var i = 0; i < columns; i += Lanes.Count)
        {
            var input = T.Load(x + i);
            a = T.MultiplyAdd(TWeights.Load<T>(w0, i), input, a);
            b = T.MultiplyAdd(TWeights.Load<T>(w1, i), input, b);
            c = T.MultiplyAdd(TWeights.Load<T>(w2, i), input, c);
            d = T.MultiplyAdd(TWeights.Load<T>(w3, i), input, d);
        }
        (sums[0], sums[1], sums[2], sums[3]) = (T.Sum(a), T.Sum(b), T.Sum(c), T.Sum(d));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void One(in MatMulTask task, int row, int token)
    {
        var sum = T.Zero;
        var w = task.Weights + (row * task.RowBytes);
        var x = task.Values + ((long)token * task.Columns);
        for (var i = 0; i <= task.Columns - Lanes.Count; i += Lanes.Count)
            sum = T.MultiplyAdd(TWeights.Load<T>(w, i), T.Load(x + i), sum);
        task.Write(token, row, FloatTiles<T>.AddRest(task, w, x, T.Sum(sum)));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Convert(in MatMulTask task, byte* row, int column, int count, float* target)
    {
        for (var i = 0; i < count; i += Lanes.Count)
            T.Store(TWeights.Load<T>(row, column + i), target + i);
    }
}
