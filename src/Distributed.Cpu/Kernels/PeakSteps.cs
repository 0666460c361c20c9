using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>Instructions on one width of vectors.</summary>
internal interface IPeakStep<TVector>
{
    static abstract TVector Start();

    /// <summary>A multiply-add that waits for the sum's last one, so that no part of it can be moved out of the loop.</summary>
    static abstract TVector Multiply(TVector sum, TVector x);

    static abstract TVector Add(TVector a, TVector b);
}

/// <summary>AVX-VNNI: one instruction.</summary>
internal readonly struct DotStep256 : IPeakStep<Vector256<int>>
{
    public static Vector256<int> Start() => Vector256.Create(PeakLoops.Operand);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Multiply(Vector256<int> sum, Vector256<int> x) =>
        AvxVnni.MultiplyWideningAndAdd(sum, sum.AsByte(), x.AsSByte());

    public static Vector256<int> Add(Vector256<int> a, Vector256<int> b) => a + b;
}

/// <summary>AVX-512BW: pairs are added in 16 bits, then pairs of these.</summary>
internal readonly struct PairStep512 : IPeakStep<Vector512<int>>
{
    public static Vector512<int> Start() => Vector512.Create(PeakLoops.Operand);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Multiply(Vector512<int> sum, Vector512<int> x) =>
        sum + Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(sum.AsByte(), x.AsSByte()), x.AsInt16());

    public static Vector512<int> Add(Vector512<int> a, Vector512<int> b) => a + b;
}

/// <summary>AVX2: pairs are added in 16 bits, as products of numbers of four bits are all through a block.</summary>
internal readonly struct PairStep256 : IPeakStep<Vector256<short>>
{
    public static Vector256<short> Start() => Vector256.Create(PeakLoops.Operand).AsInt16();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<short> Multiply(Vector256<short> sum, Vector256<short> x) =>
        sum + Avx2.MultiplyAddAdjacent(sum.AsByte(), x.AsSByte());

    public static Vector256<short> Add(Vector256<short> a, Vector256<short> b) => a + b;
}

/// <summary>Arm's dot product.</summary>
internal readonly struct ArmDotStep : IPeakStep<Vector128<int>>
{
    public static Vector128<int> Start() => Vector128.Create(PeakLoops.Operand);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Multiply(Vector128<int> sum, Vector128<int> x) => Dp.DotProduct(sum, sum.AsSByte(), x.AsSByte());

    public static Vector128<int> Add(Vector128<int> a, Vector128<int> b) => a + b;
}

/// <summary>16-bit numbers, on any vectors.</summary>
internal readonly struct WordStep : IPeakStep<Vector128<short>>
{
    public static Vector128<short> Start() => Vector128.Create((short)(PeakLoops.Operand >> 16));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<short> Multiply(Vector128<short> sum, Vector128<short> x) => (sum * x) + x;

    public static Vector128<short> Add(Vector128<short> a, Vector128<short> b) => a + b;
}

/// <summary>float32, 512 bits.</summary>
internal readonly struct FloatStep512 : IPeakStep<Vector512<float>>
{
    public static Vector512<float> Start() => Vector512.Create(1.25e-3f);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Multiply(Vector512<float> sum, Vector512<float> x) => Vector512.FusedMultiplyAdd(sum, x, x);

    public static Vector512<float> Add(Vector512<float> a, Vector512<float> b) => a + b;
}

/// <summary>float32, 256 bits.</summary>
internal readonly struct FloatStep256 : IPeakStep<Vector256<float>>
{
    public static Vector256<float> Start() => Vector256.Create(1.25e-3f);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Multiply(Vector256<float> sum, Vector256<float> x) => Vector256.FusedMultiplyAdd(sum, x, x);

    public static Vector256<float> Add(Vector256<float> a, Vector256<float> b) => a + b;
}

/// <summary>float32, 128 bits.</summary>
internal readonly struct FloatStep128 : IPeakStep<Vector128<float>>
{
    public static Vector128<float> Start() => Vector128.Create(1.25e-3f);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Multiply(Vector128<float> sum, Vector128<float> x) => Vector128.FusedMultiplyAdd(sum, x, x);

    public static Vector128<float> Add(Vector128<float> a, Vector128<float> b) => a + b;
}
