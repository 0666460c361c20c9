using Distributed.Core;

namespace Distributed.Cpu;

/// <summary>
/// The choices of a step, sorted by expert and within one by token, so that each expert's matrices meet all its tokens at once.
/// </summary>
internal sealed class CpuExpertChoices(int tokens, int experts, int perToken) : ExpertChoices(experts, perToken)
{
    private readonly int[] _chosen = new int[tokens * perToken];
    private readonly float[] _weights = new float[tokens * perToken];
    private readonly int[] _places = new int[tokens * perToken];
    private readonly int[] _tokens = new int[tokens * perToken];
    private readonly int[] _expertOf = new int[tokens * perToken];
    private readonly int[] _starts = new int[experts + 1];

    /// <summary>Choices of all tokens.</summary>
    public int Count { get; private set; }

    /// <summary>The first choice of an expert; for the number of experts, <see cref="Count"/>.</summary>
    public int Start(int expert) => _starts[expert];

    /// <summary>The token of a choice.</summary>
    public int Token(int choice) => _tokens[choice];

    /// <summary>The expert of a choice.</summary>
    public int Expert(int choice) => _expertOf[choice];

    /// <summary>A token's choice number <paramref name="rank"/>, the highest score first, and its weight.</summary>
    public (int Choice, float Weight) Of(int token, int rank)
    {
        var at = (token * PerToken) + rank;
        return (_places[at], _weights[at]);
    }

    /// <summary>Chooses for one token.</summary>
    /// <param name="token">The token.</param>
    /// <param name="scores">[experts]</param>
    /// <param name="overChosen">The weights' softmax runs over the chosen experts alone.</param>
    public void Choose(int token, ReadOnlySpan<float> scores, bool overChosen)
    {
        var chosen = _chosen.AsSpan(token * PerToken, PerToken);
        var weights = _weights.AsSpan(token * PerToken, PerToken);
        for (var rank = 0; rank < PerToken; rank++)
        {
            var best = -1;
            for (var expert = 0; expert < Experts; expert++)
                if (!chosen[..rank].Contains(expert) && (best < 0 || scores[expert] > scores[best]))
                    best = expert;
            chosen[rank] = best;
            weights[rank] = MathF.Exp(scores[best] - scores[chosen[0]]);
        }
        var sum = 0f;
        if (overChosen)
            foreach (var weight in weights)
                sum += weight;
        else
            foreach (var score in scores)
                sum += MathF.Exp(score - scores[chosen[0]]);
        foreach (ref var weight in weights)
            weight /= sum;
    }

    /// <summary>Puts the choices of the first <paramref name="tokens"/> in order (a counting sort).</summary>
    public void Sort(int tokens)
    {
        Count = tokens * PerToken;
        _starts.AsSpan().Clear();
        foreach (var expert in _chosen.AsSpan(0, Count))
            _starts[expert + 1]++;
        for (var expert = 0; expert < Experts; expert++)
            _starts[expert + 1] += _starts[expert];
        for (var at = 0; at < Count; at++)
        {
            var place = _starts[_chosen[at]]++;
            (_places[at], _tokens[place], _expertOf[place]) = (place, at / PerToken, _chosen[at]);
        }
        // Each start has moved to the next expert's.
        _starts.AsSpan(0, Experts).CopyTo(_starts.AsSpan(1));
        _starts[0] = 0;
    }
}
