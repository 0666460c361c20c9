using System.Runtime.CompilerServices;
using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// The weighted sum of the values of a block: output = output × rescale + Σ weight × value, the sum position after position. As with
/// scores, the accumulators of a group of queries stay in registers.
/// </summary>
internal static unsafe class AttentionValues<T>
    where T : struct, ILanes<T>
{
    private const int Tokens = StageSpec.KvBlockTokens;

    /// <summary>Adds a block's values to the outputs of all queries.</summary>
    /// <param name="state">The queries.</param>
    /// <param name="values">[tokens][headDim]; fifteen more numbers may be read.</param>
    /// <param name="next">The values of the block after.</param>
    public static void Run(in AttentionState state, float* values, NextBlock next)
    {
        for (var group = 0; group < state.Padded; group += AttentionState.Group)
        {
            var rows = Math.Min(state.Rows(group), state.Count - group);
            next.Prefetch();
            if (rows == 1 || !state.SeeTheSame(group))
                for (var row = group; row < group + rows; row++)
                    One(state, row, 0, values);
            else if (state.From[group] < state.End[group])
                Gather(state, group, values);
        }
    }

    private static void Gather(in AttentionState state, int group, float* values)
    {
        var (headDim, rows) = (state.HeadDim, state.Rows(group));
        var column = 0;
        if (T.Registers == 1)
        {
            for (; column <= headDim - (2 * Lanes.Count); column += 2 * Lanes.Count)
            {
                if (rows == AttentionState.Group)
                    EightByTwo(state, group, column, values + column);
                else
                    FourByTwo(state, group, column, values + column);
            }
        }
        for (; column <= headDim - Lanes.Count; column += Lanes.Count)
            for (var row = group; row < group + rows; row += 4)
                FourByOne(state, row, column, values + column);
        if (column < headDim)
            for (var row = group; row < group + rows; row++)
                One(state, row, column, values);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightByTwo(in AttentionState state, int row, int column, float* values)
    {
        var (a0, b0, c0, d0, e0, f0, g0, h0) = (T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero);
        var (a1, b1, c1, d1, e1, f1, g1, h1) = (T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero);
        var headDim = state.HeadDim;
        var (from, end) = (state.From[row], state.End[row]);
        var weights = state.Weights + (row * Tokens) + from;
        values += from * headDim;
        for (var i = from; i < end; i++, weights++, values += headDim)
        {
            var first = T.Load(values);
            var second = T.Load(values + Lanes.Count);
            var weight = T.Create(weights[0]);
            a0 = T.MultiplyAdd(weight, first, a0);
            a1 = T.MultiplyAdd(weight, second, a1);
            weight = T.Create(weights[Tokens]);
            b0 = T.MultiplyAdd(weight, first, b0);
            b1 = T.MultiplyAdd(weight, second, b1);
            weight = T.Create(weights[2 * Tokens]);
            c0 = T.MultiplyAdd(weight, first, c0);
            c1 = T.MultiplyAdd(weight, second, c1);
            weight = T.Create(weights[3 * Tokens]);
            d0 = T.MultiplyAdd(weight, first, d0);
            d1 = T.MultiplyAdd(weight, second, d1);
            weight = T.Create(weights[4 * Tokens]);
            e0 = T.MultiplyAdd(weight, first, e0);
            e1 = T.MultiplyAdd(weight, second, e1);
            weight = T.Create(weights[5 * Tokens]);
            f0 = T.MultiplyAdd(weight, first, f0);
            f1 = T.MultiplyAdd(weight, second, f1);
            weight = T.Create(weights[6 * Tokens]);
            g0 = T.MultiplyAdd(weight, first, g0);
            g1 = T.MultiplyAdd(weight, second, g1);
            weight = T.Create(weights[7 * Tokens]);
            h0 = T.MultiplyAdd(weight, first, h0);
            h1 = T.MultiplyAdd(weight, second, h1);
        }
        var outputs = state.Outputs + row;
        var rescale = state.Rescale + row;
        Add(a0, a1, outputs[0] + column, rescale[0]);
        Add(b0, b1, outputs[1] + column, rescale[1]);
        Add(c0, c1, outputs[2] + column, rescale[2]);
        Add(d0, d1, outputs[3] + column, rescale[3]);
        Add(e0, e1, outputs[4] + column, rescale[4]);
        Add(f0, f1, outputs[5] + column, rescale[5]);
        Add(g0, g1, outputs[6] + column, rescale[6]);
        Add(h0, h1, outputs[7] + column, rescale[7]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourByTwo(in AttentionState state, int row, int column, float* values)
    {
        var (a0, b0, c0, d0) = (T.Zero, T.Zero, T.Zero, T.Zero);
        var (a1, b1, c1, d1) = (T.Zero, T.Zero, T.Zero, T.Zero);
        var headDim = state.HeadDim;
        var (from, end) = (state.From[row], state.End[row]);
        var weights = state.Weights + (row * Tokens) + from;
        values += from * headDim;
        for (var i = from; i < end; i++, weights++, values += headDim)
        {
            var first = T.Load(values);
            var second = T.Load(values + Lanes.Count);
            var weight = T.Create(weights[0]);
            a0 = T.MultiplyAdd(weight, first, a0);
            a1 = T.MultiplyAdd(weight, second, a1);
            weight = T.Create(weights[Tokens]);
            b0 = T.MultiplyAdd(weight, first, b0);
            b1 = T.MultiplyAdd(weight, second, b1);
            weight = T.Create(weights[2 * Tokens]);
            c0 = T.MultiplyAdd(weight, first, c0);
            c1 = T.MultiplyAdd(weight, second, c1);
            weight = T.Create(weights[3 * Tokens]);
            d0 = T.MultiplyAdd(weight, first, d0);
            d1 = T.MultiplyAdd(weight, second, d1);
        }
        var outputs = state.Outputs + row;
        var rescale = state.Rescale + row;
        Add(a0, a1, outputs[0] + column, rescale[0]);
        Add(b0, b1, outputs[1] + column, rescale[1]);
        Add(c0, c1, outputs[2] + column, rescale[2]);
        Add(d0, d1, outputs[3] + column, rescale[3]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourByOne(in AttentionState state, int row, int column, float* values)
    {
        var (a, b, c, d) = (T.Zero, T.Zero, T.Zero, T.Zero);
        var headDim = state.HeadDim;
        var (from, end) = (state.From[row], state.End[row]);
        var weights = state.Weights + (row * Tokens) + from;
        values += from * headDim;
        for (var i = from; i < end; i++, weights++, values += headDim)
        {
            var value = T.Load(values);
            a = T.MultiplyAdd(T.Create(weights[0]), value, a);
            b = T.MultiplyAdd(T.Create(weights[Tokens]), value, b);
            c = T.MultiplyAdd(T.Create(weights[2 * Tokens]), value, c);
            d = T.MultiplyAdd(T.Create(weights[3 * Tokens]), value, d);
        }
        var outputs = state.Outputs + row;
        var rescale = state.Rescale + row;
        Add(a, outputs[0] + column, rescale[0]);
        Add(b, outputs[1] + column, rescale[1]);
        Add(c, outputs[2] + column, rescale[2]);
        Add(d, outputs[3] + column, rescale[3]);
    }

    /// <summary>One query, from <paramref name="column"/> to the end of the head.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void One(in AttentionState state, int row, int column, float* values)
    {
        var headDim = state.HeadDim;
        var (from, end) = (state.From[row], state.End[row]);
        if (end <= from)
            return;
        var weights = state.Weights + (row * Tokens);
        var output = state.Outputs[row];
        var rescale = state.Rescale[row];
        values += from * headDim;
        for (; column <= headDim - (4 * Lanes.Count); column += 4 * Lanes.Count)
        {
            var (a, b, c, d) = (T.Zero, T.Zero, T.Zero, T.Zero);
            var source = values + column;
            for (var i = from; i < end; i++, source += headDim)
            {
                var weight = T.Create(weights[i]);
                a = T.MultiplyAdd(weight, T.Load(source), a);
                b = T.MultiplyAdd(weight, T.Load(source + Lanes.Count), b);
                c = T.MultiplyAdd(weight, T.Load(source + (2 * Lanes.Count)), c);
                d = T.MultiplyAdd(weight, T.Load(source + (3 * Lanes.Count)), d);
            }
            Add(a, b, output + column, rescale);
            Add(c, d, output + column + (2 * Lanes.Count), rescale);
        }
        for (; column < headDim; column += Lanes.Count)
        {
            var sum = T.Zero;
            var source = values + column;
            for (var i = from; i < end; i++, source += headDim)
                sum = T.MultiplyAdd(T.Create(weights[i]), T.Load(source), sum);
            var before = LanesMath<T>.Load(output + column, headDim - column);
            LanesMath<T>.Store(T.MultiplyAdd(before, T.Create(rescale), sum), output + column, headDim - column);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(T sum, float* output, float rescale) =>
        T.Store(T.MultiplyAdd(T.Load(output), T.Create(rescale), sum), output);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(T first, T second, float* output, float rescale)
    {
        Add(first, output, rescale);
        Add(second, output + Lanes.Count, rescale);
    }
}
