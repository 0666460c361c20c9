using System.Runtime.Intrinsics;

namespace Distributed.Core.Quantization;

/// <summary>Quantises a block of Q4_K or Q5_K: first each group by itself, then its scale and minimum to six bits.</summary>
internal static class SixBitScaleSearch
{
    /// <summary>Bytes of both factors and the packed scales, with which a block begins.</summary>
    public const int HeaderBytes = 4 + SixBitScales.Bytes;

    private const int Groups = 8;
    private const int GroupLength = 32;
    private const int MaxScale = 63;

    // Scale and minimum are rounded together: what one loses, the other may make up for.
    private static readonly Vector256<float> ScaleSteps = Vector256.Create(0f, 0, 0, 0, 1, 1, 1, 1);
    private static readonly Vector256<float> MinSteps = Vector256.Create(0f, 1, -1, 2, 0, 1, -1, 2);

    /// <summary>Quantises a block.</summary>
    /// <param name="values">256 values.</param>
    /// <param name="high">The highest number.</param>
    /// <param name="header">Gets factors and scales.</param>
    /// <param name="numbers">Gets 256 numbers from 0 to <paramref name="high"/>.</param>
    public static void Quantize(ReadOnlySpan<float> values, int high, Span<byte> header, Span<int> numbers)
    {
        Span<float> scales = stackalloc float[Groups];
        Span<float> mins = stackalloc float[Groups];
        var (maxScale, maxMin) = (0f, 0f);
        for (var group = 0; group < Groups; group++)
        {
            (scales[group], var offset) = ScaleSearch.FindScaleAndOffset(Group(values, group), high, belowZero: true);
            mins[group] = -offset;
            maxScale = MathF.Max(maxScale, scales[group]);
            maxMin = MathF.Max(maxMin, mins[group]);
        }

        var factor = Rounding.WriteHalf(header, maxScale / MaxScale);
        var minFactor = Rounding.WriteHalf(header[2..], maxMin / MaxScale);
        for (var group = 0; group < Groups; group++)
        {
            var (scale, min) = Round(Group(values, group), high, factor, minFactor, scales[group], mins[group]);
            SixBitScales.Write(header[4..HeaderBytes], group, scale, min);
            Rounding.ToNumbers(
                Group(values, group), factor * scale, -minFactor * min, 0, high, numbers.Slice(group * GroupLength, GroupLength));
        }
    }

    private static ReadOnlySpan<float> Group(ReadOnlySpan<float> values, int group) => values.Slice(group * GroupLength, GroupLength);

    private static (int Scale, int Min) Round(
        ReadOnlySpan<float> values, int high, float factor, float minFactor, float scale, float min)
    {
        var scales = Steps(scale, factor, ScaleSteps);
        var mins = Steps(min, minFactor, MinSteps);
        var best = ScaleSearch.Lowest(ScaleSearch.Errors(values, scales * factor, mins * -minFactor, 0, high));
        return ((int)scales[best], (int)mins[best]);
    }

    private static Vector256<float> Steps(float value, float factor, Vector256<float> steps)
    {
        var down = Vector256.Create(factor == 0 ? 0 : MathF.Floor(value / factor));
        return Vector256.Clamp(down + steps, Vector256<float>.Zero, Vector256.Create((float)MaxScale));
    }
}
