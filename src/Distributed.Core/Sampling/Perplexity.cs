using System.Runtime.Intrinsics;

namespace Distributed.Core.Sampling;

/// <summary>
/// How surprised a model is by a text: e to the mean of −ln p over its tokens, where p is the probability that the model gave to
/// the token that followed. Sums are double precision.
/// </summary>
public sealed class Perplexity
{
    private double _sum;
    private double _sumOfSquares;

    /// <summary>Tokens so far.</summary>
    public long Tokens { get; private set; }

    /// <summary>The perplexity so far; NaN before the first token.</summary>
    public double Value => Math.Exp(_sum / Tokens);

    /// <summary>
    /// The standard error of <see cref="Value"/>, from the variance of −ln p as if tokens were independent; NaN before the second
    /// token.
    /// </summary>
    public double StandardError
    {
        get
        {
            var mean = _sum / Tokens;
            var variance = Math.Max(0, (_sumOfSquares / Tokens) - (mean * mean));
            return Tokens < 2 ? double.NaN : Value * Math.Sqrt(variance / (Tokens - 1));
        }
    }

    /// <summary>Adds a token of the text.</summary>
    /// <param name="negativeLogLikelihood">What <see cref="NegativeLogLikelihood"/> gives for it.</param>
    public void Add(double negativeLogLikelihood)
    {
        _sum += negativeLogLikelihood;
        _sumOfSquares += negativeLogLikelihood * negativeLogLikelihood;
        Tokens++;
    }

    /// <summary>−ln of the probability of a token: −ln softmax(logits)[token].</summary>
    /// <param name="logits">[VocabSize].</param>
    /// <param name="token">The token.</param>
    /// <exception cref="ArithmeticException">A logit is NaN or +∞, or all are −∞.</exception>
    public static double NegativeLogLikelihood(ReadOnlySpan<float> logits, int token)
    {
        var max = LogSoftmax.Max(logits);
        var sums = Vector512<double>.Zero;
        var i = 0;
        for (; i <= logits.Length - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            var (lower, upper) = Vector256.Widen(Vector256.Create(logits[i..]));
            sums += Vector512.Exp(Vector512.Create(lower, upper) - Vector512.Create((double)max));
        }

        var sum = Vector512.Sum(sums);
        for (; i < logits.Length; i++)
            sum += Math.Exp((double)logits[i] - max);
        return Math.Log(sum) + max - logits[token];
    }
}
