namespace Distributed.Core.Sampling;

/// <summary>
/// Draws the next token from the logits, in llama.cpp's order: repeat penalty, top-k, top-p, min-p, temperature, draw. What is
/// drawn depends on the arguments alone: no state passes from one token to the next, so a recovered session goes on as it
/// would have. An instance only keeps buffers and is used by one thread at a time.
/// </summary>
public sealed class Sampler
{
    private readonly Candidates _candidates = new();
    private readonly HashSet<int> _penalized = [];
    private float[] _adjusted = [];

    /// <summary>Draws a token.</summary>
    /// <param name="logits">[VocabSize], at least one.</param>
    /// <param name="options">How to draw; <see cref="SamplingOptions.Validate"/> must find no errors in it.</param>
    /// <param name="recent">The tokens that the repeat penalty looks at, in any order; may be empty.</param>
    /// <param name="position">The position in its sequence that the drawn token will have.</param>
    /// <param name="topLogProbs">How many of the most probable tokens to report; 0 for none.</param>
    /// <exception cref="ArithmeticException">A logit is NaN or +∞, or all are −∞.</exception>
    /// <exception cref="InvalidInputException">A recent token is not in the vocabulary.</exception>
    public SampledToken Sample(
        ReadOnlySpan<float> logits, SamplingOptions options, ReadOnlySpan<int> recent, int position, int topLogProbs = 0)
    {
        var max = LogSoftmax.Max(logits);
        var logSum = LogSoftmax.LogSumExp(logits, max);

        var adjusted = Penalize(logits, options.RepeatPenalty, recent);
        var token = options.Temperature == 0
            ? adjusted.IndexOf(LogSoftmax.Max(adjusted))
            : Draw(adjusted, options, CounterRandom.Uniform(options.Seed, position));
        return new SampledToken(token, (float)(logits[token] - logSum), Top(logits, topLogProbs, logSum));
    }

    /// <summary>The repeat penalty of Keskar et al. 2019 (CTRL), once for each token that occurs.</summary>
    private ReadOnlySpan<float> Penalize(ReadOnlySpan<float> logits, float penalty, ReadOnlySpan<int> recent)
    {
        if (penalty == 1 || recent.IsEmpty)
            return logits;
        if (_adjusted.Length < logits.Length)
            _adjusted = new float[logits.Length];
        logits.CopyTo(_adjusted);

        _penalized.Clear();
        foreach (var id in recent)
        {
            if ((uint)id >= (uint)logits.Length)
                throw new InvalidInputException("recent", $"{id}", $"must be a token of the vocabulary, below {logits.Length}");
            if (_penalized.Add(id))
                _adjusted[id] = _adjusted[id] > 0 ? _adjusted[id] / penalty : _adjusted[id] * penalty;
        }
        return _adjusted.AsSpan(0, logits.Length);
    }

    private int Draw(ReadOnlySpan<float> logits, SamplingOptions options, double uniform)
    {
        if (options.TopK > 0 && options.TopK < logits.Length)
            _candidates.TakeBest(logits, options.TopK);
        else
            _candidates.TakeAll(logits);

        var max = LogSoftmax.Max(logits);
        if (options.TopP < 1)
        {
            _candidates.Sort();
            KeepTopP(max, options.TopP);
        }
        if (options.MinP > 0)
            _candidates.DropBelow(max + MathF.Log(options.MinP));

        var weights = _candidates.Weigh(max, options.Temperature, out var sum);
        var rest = uniform * sum;
        var chosen = 0;
        for (var i = 0; i < weights.Length && rest >= 0; i++)
        {
            // Rounding may leave a rest behind the last token; one without any weight must not get it.
            if (weights[i] > 0)
                chosen = i;
            rest -= weights[i];
        }
        return _candidates.Items[chosen].Id;
    }

    /// <summary>Nucleus sampling (Holtzman et al. 2020): the fewest tokens whose probabilities reach <paramref name="p"/>.</summary>
    private void KeepTopP(float max, float p)
    {
        var weights = _candidates.Weigh(max, temperature: 1, out var sum);
        var (kept, reached) = (0, 0.0);
        while (kept < weights.Length && (kept == 0 || reached < p * sum))
            reached += weights[kept++];
        _candidates.Truncate(kept);
    }

    private TokenLogProb[] Top(ReadOnlySpan<float> logits, int count, double logSum)
    {
        if (count <= 0)
            return [];
        _candidates.TakeBest(logits, Math.Min(count, logits.Length));
        var top = new TokenLogProb[_candidates.Count];
        for (var i = 0; i < top.Length; i++)
            top[i] = new TokenLogProb(_candidates.Items[i].Id, (float)(_candidates.Items[i].Logit - logSum));
        return top;
    }
}
