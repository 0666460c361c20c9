using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>Norms runs of values: a group for each.</summary>
public static class NormKernels
{
    /// <summary>y = x / sqrt(mean(x²) + eps) × weight; y may be x.</summary>
    /// <param name="input">Runs of <paramref name="width"/> values, one after the other.</param>
    /// <param name="weight">Run after run takes the next weights, from the first again at each row's start.</param>
    /// <param name="output">As the input.</param>
    /// <param name="width">Values in a run.</param>
    /// <param name="runs">Runs in a row.</param>
    /// <param name="eps">Added under the root.</param>
    [Kernel]
    public static void RmsNorm(ArrayView<float> input, ArrayView<float> weight, ArrayView<float> output, int width, int runs, float eps)
    {
        var shared = SharedMemory.Allocate<float>(WarpSum.MaxWarps);
        var start = (long)Grid.IdxX * width;
        var at = Grid.IdxX % runs * width % (int)weight.Length;
        var scale = RmsScale(input, start, width, eps, shared);
        for (var i = Group.IdxX; i < width; i += Group.DimX)
            output[start + i] = input[start + i] * scale * weight[at + i];
    }

    /// <summary>What a run's values are multiplied by: 1 / sqrt(mean(x²) + eps), in all threads of the group.</summary>
    public static float RmsScale(ArrayView<float> input, long start, int width, float eps, ArrayView<float> shared)
    {
        var squares = 0f;
        for (var i = Group.IdxX; i < width; i += Group.DimX)
            squares += input[start + i] * input[start + i];
        return 1 / MathF.Sqrt((WarpSum.OfGroup(squares, shared) / width) + eps);
    }

    /// <summary>y = (x − mean) / sqrt(variance + eps) × weight + bias; y may be x.</summary>
    /// <param name="input">Runs of <paramref name="width"/> values, one after the other.</param>
    /// <param name="weight">As for <see cref="RmsNorm"/>.</param>
    /// <param name="bias">As the weight.</param>
    /// <param name="hasBias">0 when there is none.</param>
    /// <param name="output">As the input.</param>
    /// <param name="width">Values in a run.</param>
    /// <param name="runs">Runs in a row.</param>
    /// <param name="eps">Added under the root.</param>
    [Kernel]
    public static void LayerNorm(
        ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, int hasBias, ArrayView<float> output, int width, int runs,
        float eps)
    {
        var shared = SharedMemory.Allocate<float>(WarpSum.MaxWarps);
        var start = (long)Grid.IdxX * width;
        var at = Grid.IdxX % runs * width % (int)weight.Length;
        var sum = 0f;
        for (var i = Group.IdxX; i < width; i += Group.DimX)
            sum += input[start + i];
        var mean = WarpSum.OfGroup(sum, shared) / width;
        var squares = 0f;
        for (var i = Group.IdxX; i < width; i += Group.DimX)
            squares += (input[start + i] - mean) * (input[start + i] - mean);
        var scale = 1 / MathF.Sqrt((WarpSum.OfGroup(squares, shared) / width) + eps);
        for (var i = Group.IdxX; i < width; i += Group.DimX)
        {
            var y = (input[start + i] - mean) * scale * weight[at + i];
            output[start + i] = hasBias == 0 ? y : y + bias[at + i];
        }
    }
}
