using System.Globalization;
using Distributed.Core;
using Distributed.Engine.Models;

namespace Distributed.Engine.Layers;

/// <summary>
/// Sines and cosines for rotary embeddings, once a step for all layers: pair i of a token at position p turns by
/// p × Theta^(−2i / Dimensions) / factors[i], divided by LinearFactor where no YaRN says otherwise, and sines and cosines are times
/// Magnitude. Computed in double precision, so that they are right to the last bit of a single even at far positions.
/// </summary>
internal sealed class RotaryAngles
{
    private readonly RopePairs _pairs;
    private readonly int _headDim;
    private readonly bool _isLocal;
    private readonly double _magnitude;
    private readonly double[] _frequencies;
    private readonly float[] _cos;
    private readonly float[] _sin;

    /// <param name="weights">The stage's weights and shape.</param>
    /// <param name="factors">[Dimensions / 2] of float32, one divisor per frequency; null for none.</param>
    /// <param name="isLocal">The angles of layers with a window, where a model has two sets.</param>
    /// <exception cref="InvalidInputException">A factor is no positive number.</exception>
    public RotaryAngles(StageWeights weights, Weight? factors = null, bool isLocal = false)
    {
        var config = weights.Config;
        var rope = isLocal ? config.LocalRope! : config.Rope;
        var half = rope.Dimensions / 2;
        (_pairs, _headDim, _isLocal) = (rope.Pairs, config.HeadDim, isLocal);
        _magnitude = rope.Magnitude * (rope.Yarn is null ? 1 : 1 + (0.1 * Math.Log(rope.LinearFactor)));
        var divisors = Divisors(factors?.Tensor, half);
        var stretched = Stretched(rope, rope.OriginalContext ?? config.ContextLength);
        _frequencies = new double[half];
        for (var i = 0; i < half; i++)
        {
            var frequency = Math.Pow(rope.Theta, -2.0 * i / rope.Dimensions) / divisors[i];
            _frequencies[i] = (frequency * (1 - stretched(i))) + (frequency / rope.LinearFactor * stretched(i));
        }
        _cos = new float[weights.Spec.MaxBatchTokens * half];
        _sin = new float[weights.Spec.MaxBatchTokens * half];
    }

    /// <summary>Puts the angles of the batch's positions into the workspace.</summary>
    public void Upload(Workspace work)
    {
        var i = 0;
        foreach (var position in work.Batch.Positions)
        {
            foreach (var frequency in _frequencies)
            {
                var (sin, cos) = Math.SinCos(position * frequency);
                (_sin[i], _cos[i]) = ((float)(sin * _magnitude), (float)(cos * _magnitude));
                i++;
            }
        }
        work.Backend.Upload(_cos.AsSpan(0, i), _isLocal ? work.LocalCos : work.Cos, work.Batch.Count);
        work.Backend.Upload(_sin.AsSpan(0, i), _isLocal ? work.LocalSin : work.Sin, work.Batch.Count);
    }

    /// <summary>Turns each head of queries or keys of the batch.</summary>
    public void Rotate(Workspace work, Activations heads) => work.Backend.Rope(
        heads, work.Batch.Count, _headDim, _isLocal ? work.LocalCos : work.Cos, _isLocal ? work.LocalSin : work.Sin, _pairs);

    /// <summary>How far pair i is divided by the linear factor: 1 all, 0 not at all. YaRN goes from one to the other in a ramp.</summary>
    private static Func<int, double> Stretched(RopeConfig rope, int context)
    {
        if (rope.Yarn is not { } yarn)
            return _ => 1;
        var low = Math.Max(0, Math.Floor(PairThatTurns(yarn.BetaFast)));
        var high = Math.Min(rope.Dimensions - 1, Math.Ceiling(PairThatTurns(yarn.BetaSlow)));
        return pair => Math.Clamp((pair - low) / Math.Max(0.001, high - low), 0, 1);

        double PairThatTurns(double times) =>
            rope.Dimensions * Math.Log(context / (times * 2 * Math.PI)) / (2 * Math.Log(rope.Theta));
    }

    private static float[] Divisors(Tensor? factors, int count)
    {
        var divisors = new float[count];
        Array.Fill(divisors, 1);
        factors?.DequantizeRow(0, divisors);
        for (var i = 0; i < count; i++)
            if (!(divisors[i] > 0 && float.IsFinite(divisors[i])))
            {
                throw new InvalidInputException(
                    $"{factors!.Name}[{i}]", divisors[i].ToString(CultureInfo.InvariantCulture), "must be a positive number");
            }
        return divisors;
    }
}
