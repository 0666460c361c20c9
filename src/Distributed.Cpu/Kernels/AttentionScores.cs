using System.Runtime.CompilerServices;
using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Scores of queries and the keys of a block: score = Σ query × key, value after value of the head. The accumulators of a group of
/// queries stay in registers, as many as the vectors leave room for.
/// </summary>
internal static unsafe class AttentionScores<T>
    where T : struct, ILanes<T>
{
    private const int Tokens = StageSpec.KvBlockTokens;

    /// <summary>Scores of all queries and all keys of the block, whether seen or not.</summary>
    /// <param name="state">Takes the scores as its weights.</param>
    /// <param name="keys">[headDim][tokens]</param>
    /// <param name="next">The keys of the block after.</param>
    public static void Run(in AttentionState state, float* keys, NextBlock next)
    {
        for (var group = 0; group < state.Padded; group += AttentionState.Group)
        {
            var rows = state.Rows(group);
            next.Prefetch();
            var queries = state.Queries + (group * state.HeadDim);
            var weights = state.Weights + (group * Tokens);
            if (T.Registers > 1)
            {
                for (var row = 0; row < rows; row += 4)
                    for (var token = 0; token < Tokens; token += Lanes.Count)
                        FourByOne(queries + row, rows, keys + token, state.HeadDim, weights + (row * Tokens) + token);
            }
            else if (rows == AttentionState.Group)
            {
                EightByTwo(queries, keys, state.HeadDim, weights);
            }
            else
            {
                FourByTwo(queries, keys, state.HeadDim, weights);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightByTwo(float* queries, float* keys, int headDim, float* weights)
    {
        var (a0, b0, c0, d0, e0, f0, g0, h0) = (T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero);
        var (a1, b1, c1, d1, e1, f1, g1, h1) = (T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero, T.Zero);
        for (var i = 0; i < headDim; i++, queries += 8, keys += Tokens)
        {
            var first = T.Load(keys);
            var second = T.Load(keys + Lanes.Count);
            var query = T.Create(queries[0]);
            a0 = T.MultiplyAdd(query, first, a0);
            a1 = T.MultiplyAdd(query, second, a1);
            query = T.Create(queries[1]);
            b0 = T.MultiplyAdd(query, first, b0);
            b1 = T.MultiplyAdd(query, second, b1);
            query = T.Create(queries[2]);
            c0 = T.MultiplyAdd(query, first, c0);
            c1 = T.MultiplyAdd(query, second, c1);
            query = T.Create(queries[3]);
            d0 = T.MultiplyAdd(query, first, d0);
            d1 = T.MultiplyAdd(query, second, d1);
            query = T.Create(queries[4]);
            e0 = T.MultiplyAdd(query, first, e0);
            e1 = T.MultiplyAdd(query, second, e1);
            query = T.Create(queries[5]);
            f0 = T.MultiplyAdd(query, first, f0);
            f1 = T.MultiplyAdd(query, second, f1);
            query = T.Create(queries[6]);
            g0 = T.MultiplyAdd(query, first, g0);
            g1 = T.MultiplyAdd(query, second, g1);
            query = T.Create(queries[7]);
            h0 = T.MultiplyAdd(query, first, h0);
            h1 = T.MultiplyAdd(query, second, h1);
        }
        Store(a0, a1, weights);
        Store(b0, b1, weights + Tokens);
        Store(c0, c1, weights + (2 * Tokens));
        Store(d0, d1, weights + (3 * Tokens));
        Store(e0, e1, weights + (4 * Tokens));
        Store(f0, f1, weights + (5 * Tokens));
        Store(g0, g1, weights + (6 * Tokens));
        Store(h0, h1, weights + (7 * Tokens));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourByTwo(float* queries, float* keys, int headDim, float* weights)
    {
        var (a0, b0, c0, d0) = (T.Zero, T.Zero, T.Zero, T.Zero);
        var (a1, b1, c1, d1) = (T.Zero, T.Zero, T.Zero, T.Zero);
        for (var i = 0; i < headDim; i++, queries += 4, keys += Tokens)
        {
            var first = T.Load(keys);
            var second = T.Load(keys + Lanes.Count);
            var query = T.Create(queries[0]);
            a0 = T.MultiplyAdd(query, first, a0);
            a1 = T.MultiplyAdd(query, second, a1);
            query = T.Create(queries[1]);
            b0 = T.MultiplyAdd(query, first, b0);
            b1 = T.MultiplyAdd(query, second, b1);
            query = T.Create(queries[2]);
            c0 = T.MultiplyAdd(query, first, c0);
            c1 = T.MultiplyAdd(query, second, c1);
            query = T.Create(queries[3]);
            d0 = T.MultiplyAdd(query, first, d0);
            d1 = T.MultiplyAdd(query, second, d1);
        }
        Store(a0, a1, weights);
        Store(b0, b1, weights + Tokens);
        Store(c0, c1, weights + (2 * Tokens));
        Store(d0, d1, weights + (3 * Tokens));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourByOne(float* queries, int stride, float* keys, int headDim, float* weights)
    {
        var (a, b, c, d) = (T.Zero, T.Zero, T.Zero, T.Zero);
        for (var i = 0; i < headDim; i++, queries += stride, keys += Tokens)
        {
            var key = T.Load(keys);
            a = T.MultiplyAdd(T.Create(queries[0]), key, a);
            b = T.MultiplyAdd(T.Create(queries[1]), key, b);
            c = T.MultiplyAdd(T.Create(queries[2]), key, c);
            d = T.MultiplyAdd(T.Create(queries[3]), key, d);
        }
        T.Store(a, weights);
        T.Store(b, weights + Tokens);
        T.Store(c, weights + (2 * Tokens));
        T.Store(d, weights + (3 * Tokens));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(T first, T second, float* weights)
    {
        T.Store(first, weights);
        T.Store(second, weights + Lanes.Count);
    }
}
