using Distributed.Core;
using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>Rotates pairs of values: (a, b) becomes (a cos − b sin, a sin + b cos).</summary>
public static class RopeKernels
{
    /// <summary>Neighbours and halves stay where they are: a thread for each pair of each head of each row.</summary>
    [Kernel]
    public static void Rotate(
        Index1D index, ArrayView<float> heads, ArrayView<float> cos, ArrayView<float> sin, int columns, int headDim, int half, RopePairs pairs)
    {
        int i = index % half;
        int head = index / half % (columns / headDim);
        int row = index / half / (columns / headDim);
        var start = ((long)row * columns) + (head * headDim);
        var first = start + (pairs == RopePairs.Neighbours ? 2 * i : i);
        var second = first + (pairs == RopePairs.Neighbours ? 1 : half);
        var (a, b) = (heads[first], heads[second]);
        var (c, s) = (cos[(row * half) + i], sin[(row * half) + i]);
        heads[first] = (a * c) - (b * s);
        heads[second] = (a * s) + (b * c);
    }

    /// <summary>Halves become neighbours: a group for each head of each row, since pairs are written where others are read.</summary>
    [Kernel]
    public static void HalvesToNeighbours(
        ArrayView<float> heads, ArrayView<float> cos, ArrayView<float> sin, int columns, int headDim, int half)
    {
        var halves = SharedMemory.Allocate<float>(ModelConfig.MaxHeadDim);
        var perRow = columns / headDim;
        var row = Grid.IdxX / perRow;
        var start = ((long)row * columns) + (Grid.IdxX % perRow * headDim);
        for (var i = Group.IdxX; i < 2 * half; i += Group.DimX)
            halves[i] = heads[start + i];
        Group.Barrier();
        for (var i = Group.IdxX; i < half; i += Group.DimX)
        {
            var (a, b) = (halves[i], halves[i + half]);
            var (c, s) = (cos[(row * half) + i], sin[(row * half) + i]);
            heads[start + (2 * i)] = (a * c) - (b * s);
            heads[start + (2 * i) + 1] = (a * s) + (b * c);
        }
    }
}
