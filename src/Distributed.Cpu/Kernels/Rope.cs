using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>Rotates pairs of values: (a, b) becomes (a cos − b sin, a sin + b cos). Elementwise, so every vector width gives the same bits.</summary>
internal static unsafe class Rope
{
    /// <summary>Rotates each head of one token.</summary>
    /// <param name="row">[heads × headDim]</param>
    /// <param name="heads">Heads in the row.</param>
    /// <param name="headDim">Values per head.</param>
    /// <param name="cos">[half]</param>
    /// <param name="sin">[half]</param>
    /// <param name="half">Pairs per head.</param>
    /// <param name="pairs">Which values form a pair.</param>
    public static void Row(float* row, int heads, int headDim, float* cos, float* sin, int half, RopePairs pairs)
    {
        for (var head = 0; head < heads; head++, row += headDim)
        {
            if (pairs == RopePairs.Neighbours)
                Neighbours(row, cos, sin, half);
            else if (pairs == RopePairs.Halves)
                Halves(row, cos, sin, half);
            else
                HalvesToNeighbours(row, cos, sin, half);
        }
    }

    private static void Neighbours(float* head, float* cos, float* sin, int half)
    {
        for (var i = 0; i < half; i++)
        {
            var (a, b) = (head[2 * i], head[(2 * i) + 1]);
            head[2 * i] = (a * cos[i]) - (b * sin[i]);
            head[(2 * i) + 1] = (a * sin[i]) + (b * cos[i]);
        }
    }

    private static void Halves(float* head, float* cos, float* sin, int half)
    {
        for (var i = 0; i < half; i++)
        {
            var (a, b) = (head[i], head[i + half]);
            head[i] = (a * cos[i]) - (b * sin[i]);
            head[i + half] = (a * sin[i]) + (b * cos[i]);
        }
    }

    private static void HalvesToNeighbours(float* head, float* cos, float* sin, int half)
    {
        var halves = stackalloc float[2 * half];
        new ReadOnlySpan<float>(head, 2 * half).CopyTo(new Span<float>(halves, 2 * half));
        for (var i = 0; i < half; i++)
        {
            var (a, b) = (halves[i], halves[i + half]);
            head[2 * i] = (a * cos[i]) - (b * sin[i]);
            head[(2 * i) + 1] = (a * sin[i]) + (b * cos[i]);
        }
    }
}
