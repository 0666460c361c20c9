using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>Loops of multiplications alone, all operands in registers: what a device can do at best. A thread for each index.</summary>
public static class RateKernels
{
    /// <summary>Operations of a thread in a turn of either loop, two to a multiply-add: eight sums of four products, or of one.</summary>
    public const int ByteOperations = 8 * 4 * 2;

    /// <inheritdoc cref="ByteOperations"/>
    public const int FloatOperations = 8 * 2;

    /// <summary>Products of bytes, four in one instruction where the device has it.</summary>
    [Kernel]
    public static void Bytes(Index1D index, ArrayView<int> output, int turns)
    {
        int a = index;
        int s0 = 0, s1 = 1, s2 = 2, s3 = 3, s4 = 4, s5 = 5, s6 = 6, s7 = 7;
        for (var turn = 0; turn < turns; turn++)
        {
            s0 = PackedDot.Add(a, turn, s0);
            s1 = PackedDot.Add(a, turn, s1);
            s2 = PackedDot.Add(a, turn, s2);
            s3 = PackedDot.Add(a, turn, s3);
            s4 = PackedDot.Add(a, turn, s4);
            s5 = PackedDot.Add(a, turn, s5);
            s6 = PackedDot.Add(a, turn, s6);
            s7 = PackedDot.Add(a, turn, s7);
        }
        output[index] = s0 ^ s1 ^ s2 ^ s3 ^ s4 ^ s5 ^ s6 ^ s7;
    }

    /// <summary>Operations of a thread in a turn of <see cref="Tensor"/>: four products, shared by the lanes of a warp.</summary>
    public const int TensorOperations = 4 * TensorCore.Rows * TensorCore.Columns * 32 * 2 / TensorCore.Lanes;

    /// <summary>Products of matrices of bytes on tensor cores; each needs the one before, and four are on their way.</summary>
    [Kernel(since: 80)]
    public static void Tensor(Index1D index, ArrayView<int> output, int turns)
    {
        int a = index;
        var s0 = new Fragment(a, a, a, a);
        var (s1, s2, s3) = (s0, s0, s0);
        for (var turn = 0; turn < turns; turn++)
        {
            s0 = TensorCore.Multiply(s0.X, s0.Y, s0.Z, s0.W, a, turn);
            s1 = TensorCore.Multiply(s1.X, s1.Y, s1.Z, s1.W, turn, a);
            s2 = TensorCore.Multiply(s2.X, s2.Y, s2.Z, s2.W, a, a);
            s3 = TensorCore.Multiply(s3.X, s3.Y, s3.Z, s3.W, turn, turn);
        }
        output[index] = s0.X ^ s0.Y ^ s0.Z ^ s0.W ^ s1.X ^ s1.Y ^ s1.Z ^ s1.W ^ s2.X ^ s2.Y ^ s2.Z ^ s2.W ^ s3.X ^ s3.Y ^ s3.Z ^ s3.W;
    }

    /// <summary>Fused multiply-adds of float32.</summary>
    [Kernel]
    public static void Floats(Index1D index, ArrayView<int> output, int turns)
    {
        float a = 1f / (2 + index);
        float s0 = 0, s1 = 1, s2 = 2, s3 = 3, s4 = 4, s5 = 5, s6 = 6, s7 = 7;
        for (var turn = 0; turn < turns; turn++)
        {
            s0 = Fused.MultiplyAdd(s0, a, a);
            s1 = Fused.MultiplyAdd(s1, a, a);
            s2 = Fused.MultiplyAdd(s2, a, a);
            s3 = Fused.MultiplyAdd(s3, a, a);
            s4 = Fused.MultiplyAdd(s4, a, a);
            s5 = Fused.MultiplyAdd(s5, a, a);
            s6 = Fused.MultiplyAdd(s6, a, a);
            s7 = Fused.MultiplyAdd(s7, a, a);
        }
        output[index] = (int)(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7);
    }
}
