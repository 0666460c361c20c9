using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Core.Sampling;

/// <summary>
/// The sums over a whole vocabulary that log-probabilities need: loops long enough that the first token must not run them unoptimised.
/// </summary>
internal static class LogSoftmax
{
    /// <summary>The highest logit.</summary>
    /// <exception cref="ArithmeticException">A logit is NaN or +∞, or all are −∞: there is nothing to choose from.</exception>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Max(ReadOnlySpan<float> logits)
    {
        var max = float.NegativeInfinity;
        var i = 0;
        var lanes = Vector256.Create(float.NegativeInfinity);
        for (; i <= logits.Length - Vector256<float>.Count; i += Vector256<float>.Count)
            lanes = Vector256.Max(lanes, Vector256.Create(logits[i..]));
        for (var lane = 0; lane < Vector256<float>.Count; lane++)
            max = MathF.Max(max, lanes[lane]);
        for (; i < logits.Length; i++)
            max = MathF.Max(max, logits[i]);

        return float.IsFinite(max) ? max : throw NothingToChoose(logits);
    }

    /// <summary>ln Σ exp(logit), the logarithm of the softmax's denominator.</summary>
    /// <param name="logits">[VocabSize].</param>
    /// <param name="max">The highest of them.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static double LogSumExp(ReadOnlySpan<float> logits, float max)
    {
        double sum = 0;
        var i = 0;
        var lanes = Vector256<float>.Zero;
        for (; i <= logits.Length - Vector256<float>.Count; i += Vector256<float>.Count)
            lanes += Vector256.Exp(Vector256.Create(logits[i..]) - Vector256.Create(max));
        for (var lane = 0; lane < Vector256<float>.Count; lane++)
            sum += lanes[lane];
        for (; i < logits.Length; i++)
            sum += MathF.Exp(logits[i] - max);
        return max + Math.Log(sum);
    }

    private static ArithmeticException NothingToChoose(ReadOnlySpan<float> logits)
    {
        for (var id = 0; id < logits.Length; id++)
            if (float.IsNaN(logits[id]) || float.IsPositiveInfinity(logits[id]))
                return new ArithmeticException($"no token can be drawn: the logit of token {id} is {logits[id]}");
        return new ArithmeticException($"no token can be drawn: all {logits.Length} logits are -Infinity");
    }
}
