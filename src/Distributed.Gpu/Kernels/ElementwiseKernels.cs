using Distributed.Core;
using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>Operations value by value: a thread for each value of the first rows.</summary>
public static class ElementwiseKernels
{
    private const float ClampLimit = 7;

    /// <summary>values += bias, the same for each row.</summary>
    [Kernel]
    public static void AddBias(Index1D i, ArrayView<float> values, ArrayView<float> bias, int columns) => values[i] += bias[i % columns];

    /// <summary>target += scale × source.</summary>
    [Kernel]
    public static void AddScaled(Index1D i, ArrayView<float> source, float scale, ArrayView<float> target) => target[i] += scale * source[i];

    /// <summary>values × factor.</summary>
    [Kernel]
    public static void Scale(Index1D i, ArrayView<float> values, float factor) => values[i] *= factor;

    /// <summary>cap × tanh(values / cap).</summary>
    [Kernel]
    public static void SoftCap(Index1D i, ArrayView<float> values, float cap) => values[i] = cap * DeviceMath.Tanh(values[i] / cap);

    /// <summary>gate = activation(gate) × up; without <paramref name="hasUp"/>, activation(gate).</summary>
    [Kernel]
    public static void Activate(Index1D i, Activation activation, ArrayView<float> gate, ArrayView<float> up, int hasUp) =>
        gate[i] = Activated(activation, gate[i], up[i], hasUp);

    /// <summary>activation(gate) × up; without <paramref name="hasUp"/>, activation(gate).</summary>
    public static float Activated(Activation activation, float gate, float up, int hasUp)
    {
        var x = gate;
        float scaled;
        if (activation == Activation.Silu)
            scaled = x;
        else if (activation == Activation.Gelu)
            scaled = x * Fused.MultiplyAdd(x * x, 0.0713548163f, 1.5957691216f); // 2 √(2/π), and the same times 0.044715
        else
        {
            x = Math.Min(x, ClampLimit);
            scaled = x * 1.702f;
        }
        var y = x / (1 + DeviceMath.Exp(-scaled));
        if (hasUp != 0)
            y *= activation == Activation.ClampedSwish ? Math.Max(Math.Min(up, ClampLimit), -ClampLimit) + 1 : up;
        return y;
    }

    /// <summary>target[row] = source[rows[row]].</summary>
    [Kernel]
    public static void Gather(Index1D i, ArrayView<float> source, ArrayView<int> rows, ArrayView<float> target, int columns) =>
        target[i] = source[((long)rows[i / columns] * columns) + (i % columns)];
}
