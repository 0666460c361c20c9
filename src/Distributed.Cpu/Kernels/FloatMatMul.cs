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

/// <summary>Products of F32, F16 and BF16 weights with float32 activations: four rows at a time for one token, else four tokens.</summary>
internal sealed unsafe class FloatMatMul<TWeights, T>(InstructionSets needs) : MatMulKernel(TWeights.Type, needs)
    where TWeights : struct, IFloatWeights
    where T : struct, ILanes<T>
{
    public override void Run(in MatMulTask task, int firstRow, int endRow)
    {
        // Tokens outside: the inputs of four stay in the nearest cache while the rows pass by.
        var token = 0;
        for (; token <= task.Tokens - 4; token += 4)
            for (var row = firstRow; row < endRow; row++)
                FourTokens(task, row, token);
        for (; token < task.Tokens; token++)
        {
            var row = firstRow;
            for (; row <= endRow - 4; row += 4)
                FourRows(task, row, token);
            for (; row < endRow; row++)
                One(task, row, token);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourRows(in MatMulTask task, int row, int token)
    {
        var (a, b, c, d) = (T.Zero, T.Zero, T.Zero, T.Zero);
        var w0 = task.Weights + (row * task.RowBytes);
        var w1 = w0 + task.RowBytes;
        var w2 = w1 + task.RowBytes;
        var w3 = w2 + task.RowBytes;
        var x = task.Values + ((long)token * task.Columns);
        var i = 0;
        for (; i <= task.Columns - Lanes.Count; i += Lanes.Count)
        {
            var input = T.Load(x + i);
            a = T.MultiplyAdd(TWeights.Load<T>(w0, i), input, a);
            b = T.MultiplyAdd(TWeights.Load<T>(w1, i), input, b);
            c = T.MultiplyAdd(TWeights.Load<T>(w2, i), input, c);
            d = T.MultiplyAdd(TWeights.Load<T>(w3, i), input, d);
        }
        var (sumA, sumB, sumC, sumD) = (T.Sum(a), T.Sum(b), T.Sum(c), T.Sum(d));
        task.Write(token, row, AddRest(task, w0, x, i, sumA));
        task.Write(token, row + 1, AddRest(task, w1, x, i, sumB));
        task.Write(token, row + 2, AddRest(task, w2, x, i, sumC));
        task.Write(token, row + 3, AddRest(task, w3, x, i, sumD));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourTokens(in MatMulTask task, int row, int token)
    {
        var (a, b, c, d) = (T.Zero, T.Zero, T.Zero, T.Zero);
        var w = task.Weights + (row * task.RowBytes);
        var x0 = task.Values + ((long)token * task.Columns);
        var x1 = x0 + task.Columns;
        var x2 = x1 + task.Columns;
        var x3 = x2 + task.Columns;
        var i = 0;
        for (; i <= task.Columns - Lanes.Count; i += Lanes.Count)
        {
            var weight = TWeights.Load<T>(w, i);
            a = T.MultiplyAdd(weight, T.Load(x0 + i), a);
            b = T.MultiplyAdd(weight, T.Load(x1 + i), b);
            c = T.MultiplyAdd(weight, T.Load(x2 + i), c);
            d = T.MultiplyAdd(weight, T.Load(x3 + i), d);
        }
        // All lanes are summed before the first call, over which vectors would have to be kept in memory.
        var (sumA, sumB, sumC, sumD) = (T.Sum(a), T.Sum(b), T.Sum(c), T.Sum(d));
        task.Write(token, row, AddRest(task, w, x0, i, sumA));
        task.Write(token + 1, row, AddRest(task, w, x1, i, sumB));
        task.Write(token + 2, row, AddRest(task, w, x2, i, sumC));
        task.Write(token + 3, row, AddRest(task, w, x3, i, sumD));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void One(in MatMulTask task, int row, int token)
    {
        var sum = T.Zero;
        var w = task.Weights + (row * task.RowBytes);
        var x = task.Values + ((long)token * task.Columns);
        var i = 0;
        for (; i <= task.Columns - Lanes.Count; i += Lanes.Count)
            sum = T.MultiplyAdd(TWeights.Load<T>(w, i), T.Load(x + i), sum);
        task.Write(token, row, AddRest(task, w, x, i, T.Sum(sum)));
    }

    /// <summary>Adds the columns past the last whole sixteen, one by one, behind the sum of the lanes.</summary>
    private static float AddRest(in MatMulTask task, byte* weights, float* x, int column, float sum) =>
        column == task.Columns ? sum : AddLast(task, weights, x, column, sum);

    private static float AddLast(in MatMulTask task, byte* weights, float* x, int column, float sum)
    {
        var rest = stackalloc float[Lanes.Count];
        var size = (int)(task.RowBytes / task.Columns);
        TWeights.Type.Dequantize(
            new ReadOnlySpan<byte>(weights + ((long)column * size), (task.Columns - column) * size), new Span<float>(rest, Lanes.Count));
        for (var i = 0; column < task.Columns; i++, column++)
            sum = MathF.FusedMultiplyAdd(rest[i], x[column], sum);
        return sum;
    }
}
