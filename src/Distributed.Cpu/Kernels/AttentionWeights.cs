using System.Runtime.CompilerServices;
using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>The softmax of the scores, block after block: weights are relative to the largest score so far.</summary>
internal static unsafe class AttentionWeights<T>
    where T : struct, ILanes<T>
{
    private const int Tokens = StageSpec.KvBlockTokens;

    /// <summary>Turns the scores of a block into weights.</summary>
    /// <param name="state">Holds both, and what goes on from block to block.</param>
    /// <param name="softCap">Scores become softCap × tanh(score); null for no cap.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(in AttentionState state, float? softCap)
    {
        if (softCap is { } cap)
            Cap(state, T.Create(cap * AttentionState.Log2OfE));
        for (var i = 0; i < state.Count; i++)
        {
            var weights = state.Weights + (i * Tokens);
            var largest = state.Largest + i;
            var sums = state.Sums + (i * Lanes.Count);
            var (from, end) = (state.From[i], state.End[i]);
            state.Rescale[i] = 1;
            if (end <= from)
                continue;
            if (from > 0 || end < Tokens)
                Hide(state.Masks, weights, from, end);
            // Rare after the first blocks.
            if (T.AnyGreater(T.Max(T.Load(weights), T.Load(weights + Lanes.Count)), T.Create(*largest)))
                state.Rescale[i] = Raise(weights, largest, sums);
            var relativeTo = T.Create(*largest);
            var first = LanesMath<T>.Exp2OfNegative(T.Load(weights) - relativeTo);
            var second = LanesMath<T>.Exp2OfNegative(T.Load(weights + Lanes.Count) - relativeTo);
            T.Store(first, weights);
            T.Store(second, weights + Lanes.Count);
            T.Store(T.Load(sums) + (first + second), sums);
        }
    }

    /// <summary>Divides the outputs by the sums of the weights.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Finish(in AttentionState state)
    {
        for (var i = 0; i < state.Count; i++)
            Elementwise<T>.Scale(state.Outputs[i], 1 / T.Sum(T.Load(state.Sums + (i * Lanes.Count))), state.HeadDim);
    }

    /// <summary>Takes a new largest score, and returns what has to be done to all that is relative to the one before.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Raise(float* weights, float* largest, float* sums)
    {
        var before = *largest;
        *largest = T.Largest(T.Max(T.Load(weights), T.Load(weights + Lanes.Count)));
        var rescale = LanesMath<T>.Exp2OfNegative(T.Create(before - *largest));
        T.Store(T.Load(sums) * rescale, sums);
        return T.Largest(rescale);
    }

    /// <summary>
    /// Gives what is outside of the keys seen a score of −∞. Its weight of 2⁻¹²⁶ is lost in a sum that is never below one, and
    /// <see cref="AttentionValues{T}"/> leaves it out.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Hide(float* masks, float* weights, int from, int end)
    {
        var behind = masks + Tokens - end;
        var before = masks + (2 * Tokens) - from;
        var hidden = T.Create(float.NegativeInfinity);
        for (var i = 0; i < Tokens; i += Lanes.Count)
        {
            var kept = T.Select(T.Load(before + i), T.Load(weights + i), hidden);
            T.Store(T.Select(T.Load(behind + i), kept, hidden), weights + i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Cap(in AttentionState state, T factor)
    {
        for (var i = 0; i < state.Count * Tokens; i += Lanes.Count)
            T.Store(LanesMath<T>.Tanh(T.Load(state.Weights + i)) * factor, state.Weights + i);
    }
}
