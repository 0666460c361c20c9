using System.Runtime.Intrinsics;

namespace Distributed.Core.Quantization;

/// <summary>
/// Finds the scale, or the scale and offset, with which whole numbers stand best for some values: the least sum of squared errors.
/// Eight candidates are tried at once, one in each lane. Each rounds the values to numbers; least squares give the best scale (and
/// offset) for these numbers, and the candidate with the smallest error that is left wins.
/// </summary>
internal static class ScaleSearch
{
    // Scales far below it vanish in half precision; what is above it has a finite inverse.
    private const float Tiny = 1e-20f;

    // How far beyond the last number the extreme value is placed. Without any, values that were quantised before are found again.
    private static readonly Vector256<float> Overshoots = Vector256.Create(0f, -0.8f, -0.4f, 0.3f, 0.6f, 0.9f, 1.2f, 1.5f);

    // By how many steps of the scale the offset is moved.
    private static readonly Vector256<float> Shifts = Vector256.Create(0f, -0.45f, -0.3f, -0.15f, 0.15f, 0.3f, 0.45f, 0.6f);

    /// <summary>The scale for value ≈ scale × number.</summary>
    /// <param name="values">The values.</param>
    /// <param name="low">The lowest number, below 0.</param>
    /// <param name="high">The highest number, above 0.</param>
    /// <returns>The scale, of either sign; 0 where no value is far from 0.</returns>
    public static float FindScale(ReadOnlySpan<float> values, int low, int high)
    {
        var extreme = Extreme(values);
        if (MathF.Abs(extreme) < Tiny)
            return 0;
        var atLow = FitScale(values, Vector256.Create((float)low) - Overshoots, extreme, low, high);
        var atHigh = FitScale(values, Vector256.Create((float)high) + Overshoots, extreme, low, high);
        return atHigh.Error < atLow.Error ? atHigh.Scale : atLow.Scale;
    }

    /// <summary>The scale and offset for value ≈ scale × number + offset.</summary>
    /// <param name="values">The values.</param>
    /// <param name="high">The highest number; the lowest is 0.</param>
    /// <param name="belowZero">The offset must not be above 0.</param>
    /// <returns>The scale, 0 or above, and the offset.</returns>
    public static (float Scale, float Offset) FindScaleAndOffset(ReadOnlySpan<float> values, int high, bool belowZero)
    {
        var (min, max) = (values[0], values[0]);
        foreach (var value in values)
            (min, max) = (MathF.Min(min, value), MathF.Max(max, value));
        if (belowZero)
            min = MathF.Min(min, 0);
        if (!(max - min > Tiny))
            return (0, min);
        var inverse = (Vector256.Create((float)high) + Overshoots) / (max - min);
        var first = FitScaleAndOffset(values, inverse, Vector256.Create(min), high, belowZero);
        var offset = Vector256.Create(first.Offset) + (Shifts * first.Scale);
        if (belowZero)
            offset = Vector256.Min(offset, Vector256<float>.Zero);
        var second = FitScaleAndOffset(values, Vector256.Create(1 / first.Scale), offset, high, belowZero);
        return second.Error < first.Error ? (second.Scale, second.Offset) : (first.Scale, first.Offset);
    }

    /// <summary>The value farthest from 0, with its sign.</summary>
    public static float Extreme(ReadOnlySpan<float> values)
    {
        var extreme = 0f;
        foreach (var value in values)
            if (MathF.Abs(value) > MathF.Abs(extreme))
                extreme = value;
        return extreme;
    }

    /// <summary>The sums of squared errors of eight scales and offsets as they are.</summary>
    /// <param name="values">The values.</param>
    /// <param name="scale">The scales.</param>
    /// <param name="offset">The offsets.</param>
    /// <param name="low">The lowest number.</param>
    /// <param name="high">The highest number.</param>
    public static Vector256<float> Errors(
        ReadOnlySpan<float> values, Vector256<float> scale, Vector256<float> offset, int low, int high)
    {
        var (lower, upper) = (Vector256.Create((float)low), Vector256.Create((float)high));
        var inverse = Vector256.ConditionalSelect(
            Vector256.Equals(scale, Vector256<float>.Zero), Vector256<float>.Zero, Vector256<float>.One / scale);
        var errors = Vector256<float>.Zero;
        foreach (var value in values)
        {
            var wanted = Vector256.Create(value) - offset;
            var number = Vector256.Clamp(Vector256.Round(wanted * inverse), lower, upper);
            var rest = wanted - (number * scale);
            errors += rest * rest;
        }

        return errors;
    }

    /// <summary>The lane with the smallest number; the first of equals.</summary>
    public static int Lowest(Vector256<float> lanes)
    {
        var lowest = 0;
        for (var lane = 1; lane < Vector256<float>.Count; lane++)
            if (lanes[lane] < lanes[lowest])
                lowest = lane;
        return lowest;
    }

    // In units of a step, value = (1 + correction) × number, where the rest (value − number) gives the correction. Sums of rests
    // stay small, so that an error near zero is not lost in the difference of two large ones.
    private static (float Error, float Scale) FitScale(
        ReadOnlySpan<float> values, Vector256<float> numberOfExtreme, float extreme, int low, int high)
    {
        var sums = new Sums(values, numberOfExtreme / extreme, Vector256<float>.Zero, low, high);
        var correction = sums.NumberRest / sums.NumberNumber;
        var error = (sums.RestRest - (correction * sums.NumberRest)) / (numberOfExtreme * numberOfExtreme);
        var best = Lowest(error);
        return (error[best], (1 + correction[best]) * extreme / numberOfExtreme[best]);
    }

    private static (float Error, float Scale, float Offset) FitScaleAndOffset(
        ReadOnlySpan<float> values, Vector256<float> inverse, Vector256<float> offset, int high, bool belowZero)
    {
        var sums = new Sums(values, inverse, offset, 0, high);
        var count = Vector256.Create((float)values.Length);
        var variance = (count * sums.NumberNumber) - (sums.Number * sums.Number);
        var correction = ((count * sums.NumberRest) - (sums.Number * sums.Rest)) / variance;
        // All numbers are the same: only the offset can be better.
        correction = Vector256.ConditionalSelect(Vector256.GreaterThan(variance, Vector256<float>.Zero), correction, Vector256<float>.Zero);
        var shift = (sums.Rest - (correction * sums.Number)) / count;
        if (belowZero)
        {
            var limit = -offset * inverse;
            var tooHigh = Vector256.GreaterThan(shift, limit);
            var atLimit = (sums.NumberRest - (limit * sums.Number)) / Vector256.Max(sums.NumberNumber, Vector256<float>.One);
            correction = Vector256.ConditionalSelect(tooHigh, atLimit, correction);
            shift = Vector256.ConditionalSelect(tooHigh, limit, shift);
        }

        // Σ rest² less Σ (rest − correction × number − shift)².
        var byCorrection = (2 * sums.NumberRest) - (correction * sums.NumberNumber) - (2 * shift * sums.Number);
        var explained = (correction * byCorrection) + (shift * ((2 * sums.Rest) - (shift * count)));
        var error = (sums.RestRest - explained) / (inverse * inverse);
        var best = Lowest(error);
        return (error[best], (1 + correction[best]) / inverse[best], offset[best] + (shift[best] / inverse[best]));
    }

    /// <summary>Sums over values of the numbers they are rounded to and of what rounding leaves over, in units of a step.</summary>
    private readonly ref struct Sums
    {
        public readonly Vector256<float> Number, Rest, NumberNumber, NumberRest, RestRest;

        public Sums(ReadOnlySpan<float> values, Vector256<float> inverse, Vector256<float> offset, int low, int high)
        {
            var (lower, upper) = (Vector256.Create((float)low), Vector256.Create((float)high));
            // Locals stay in registers, fields would not.
            var (numbers, rests) = (Vector256<float>.Zero, Vector256<float>.Zero);
            var (numberNumber, numberRest, restRest) = (Vector256<float>.Zero, Vector256<float>.Zero, Vector256<float>.Zero);
            foreach (var value in values)
            {
                var steps = (Vector256.Create(value) - offset) * inverse;
                var number = Vector256.Min(Vector256.Max(Vector256.Round(steps), lower), upper);
                var rest = steps - number;
                numbers += number;
                rests += rest;
                numberNumber += number * number;
                numberRest += number * rest;
                restRest += rest * rest;
            }

            (Number, Rest, NumberNumber, NumberRest, RestRest) = (numbers, rests, numberNumber, numberRest, restRest);
        }
    }
}
