using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Distributed.Core.Quantization;

/// <summary>The last steps of quantising: to half precision, and to whole numbers.</summary>
internal static class Rounding
{
    /// <summary>The nearest half that is finite; 0 for NaN.</summary>
    public static Half ToHalf(float value) => float.IsNaN(value) ? (Half)0 : (Half)Math.Clamp(value, -65504f, 65504f);

    /// <summary>Writes a scale as a half.</summary>
    /// <returns>The scale that a reader will see.</returns>
    public static float WriteHalf(Span<byte> bytes, float value)
    {
        var half = ToHalf(value);
        MemoryMarshal.Write(bytes, half);
        return (float)half;
    }

    /// <summary>The whole numbers for which scale × number + offset comes nearest to each value.</summary>
    /// <param name="values">A multiple of eight.</param>
    /// <param name="scale">The scale; 0 makes every number the one nearest to 0.</param>
    /// <param name="offset">The offset.</param>
    /// <param name="low">The lowest number.</param>
    /// <param name="high">The highest number.</param>
    /// <param name="numbers">As many as values.</param>
    public static void ToNumbers(ReadOnlySpan<float> values, float scale, float offset, int low, int high, Span<int> numbers)
    {
        var inverse = Vector256.Create(scale == 0 ? 0 : 1 / scale);
        var (lower, upper) = (Vector256.Create((float)low), Vector256.Create((float)high));
        for (var i = 0; i < values.Length; i += Vector256<float>.Count)
        {
            var steps = (Vector256.Create(values[i..]) - Vector256.Create(offset)) * inverse;
            Vector256.ConvertToInt32(Vector256.Clamp(Vector256.Round(steps), lower, upper)).CopyTo(numbers[i..]);
        }
    }
}
