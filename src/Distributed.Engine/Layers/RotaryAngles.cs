using System.Globalization;
using Distributed.Core;

namespace Distributed.Engine.Layers;

/// <summary>
/// Sines and cosines for rotary embeddings, once a step for all layers: pair i of a token at position p turns by
/// p / LinearFactor × Theta^(−2i / Dimensions) / factors[i]. Computed in double precision, so that they are right to the last bit
/// of a single even at far positions.
/// </summary>
internal sealed class RotaryAngles
{
    private readonly double[] _frequencies;
    private readonly float[] _cos;
    private readonly float[] _sin;

    /// <param name="rope">The rotary embedding.</param>
    /// <param name="factors">[Dimensions / 2] of float32, one divisor per frequency (Llama 3.1); null for none.</param>
    /// <param name="maxTokens">The most tokens in a step.</param>
    /// <exception cref="InvalidInputException">A factor is no positive number.</exception>
    public RotaryAngles(RopeConfig rope, Tensor? factors, int maxTokens)
    {
        var half = rope.Dimensions / 2;
        var divisors = new float[half];
        Array.Fill(divisors, 1);
        factors?.DequantizeRow(0, divisors);
        _frequencies = new double[half];
        for (var i = 0; i < half; i++)
        {
            if (!(divisors[i] > 0 && float.IsFinite(divisors[i])))
            {
                throw new InvalidInputException(
                    $"{factors!.Name}[{i}]", divisors[i].ToString(CultureInfo.InvariantCulture), "must be a positive number");
            }
            _frequencies[i] = Math.Pow(rope.Theta, -2.0 * i / rope.Dimensions) / divisors[i] / rope.LinearFactor;
        }
        _cos = new float[maxTokens * half];
        _sin = new float[maxTokens * half];
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
                (_sin[i], _cos[i]) = ((float)sin, (float)cos);
                i++;
            }
        }
        work.Backend.Upload(_cos.AsSpan(0, i), work.Cos, work.Batch.Count);
        work.Backend.Upload(_sin.AsSpan(0, i), work.Sin, work.Batch.Count);
    }
}
