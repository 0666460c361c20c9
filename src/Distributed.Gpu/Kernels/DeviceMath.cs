using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>
/// Functions that devices have only as approximations of differing quality, to about a unit in the last place everywhere, and the same
/// bits in every kernel on cards with CUDA.
/// </summary>
public static class DeviceMath
{
    /// <summary>e^x; 0 below −104, infinity above 88.8.</summary>
    public static float Exp(float x)
    {
        if (x < -104)
            return 0;
        if (x > 89)
            return float.PositiveInfinity;
        if (float.IsNaN(x))
            return x;
        var n = (int)Fused.MultiplyAdd(x, 1.44269504f, x < 0 ? -0.5f : 0.5f);
        // ln 2 in two parts, the first short enough for an exact product.
        var r = Fused.MultiplyAdd(n, 2.12194440e-4f, Fused.MultiplyAdd(n, -0.693359375f, x));
        var p = Fused.MultiplyAdd(r, 1.9875691500e-4f, 1.3981999507e-3f);
        p = Fused.MultiplyAdd(r, p, 8.3334519073e-3f);
        p = Fused.MultiplyAdd(r, p, 4.1665795894e-2f);
        p = Fused.MultiplyAdd(r, p, 1.6666665459e-1f);
        p = Fused.MultiplyAdd(r, p, 0.5f);
        p = Fused.MultiplyAdd(r * r, p, 1 + r);
        // In two steps, since neither 2^-150 nor 2^128 is a normal number.
        var half = n >> 1;
        return p * PowerOfTwo(half) * PowerOfTwo(n - half);
    }

    /// <summary>tanh x, also near 0 to a few units in the last place.</summary>
    public static float Tanh(float x)
    {
        var magnitude = x < 0 ? -x : x;
        if (magnitude < 0.625f)
        {
            var square = x * x;
            var p = Fused.MultiplyAdd(square, -5.70498872745e-3f, 2.06390887954531e-2f);
            p = Fused.MultiplyAdd(square, p, -5.37397155531e-2f);
            p = Fused.MultiplyAdd(square, p, 1.33314422036e-1f);
            p = Fused.MultiplyAdd(square, p, -3.33332819422e-1f);
            return Fused.MultiplyAdd(x * square, p, x);
        }
        var tanh = 1 - (2 / (Exp(2 * magnitude) + 1));
        return x < 0 ? -tanh : tanh;
    }

    /// <summary>2^n for n from −126 to 127.</summary>
    public static float PowerOfTwo(int n) => Interop.IntAsFloat((uint)(n + 127) << 23);

    /// <summary>The nearest whole number, of two equally near ones the even one; for magnitudes below 2^22.</summary>
    public static int Round(float x) => (int)Interop.FloatAsInt(x + 12582912f) - 0x4B400000;
}
