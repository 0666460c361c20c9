using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>
/// Half precision by integer arithmetic: every device rounds as the host does, also one whose half-precision type rounds otherwise or
/// is missing.
/// </summary>
public static class HalfBits
{
    private const uint SmallestNormal = 0x38800000; // 2^-14
    private const uint Overflow = 0x477FF000; // the least that rounds to infinity

    /// <summary>A half at an even place among bytes.</summary>
    public static float Load(ArrayView<byte> bytes, long at) => ToSingle(bytes.Cast<ushort>()[at >> 1]);

    /// <summary>The value of a half.</summary>
    public static float ToSingle(uint half)
    {
        // 2^112: the difference of the exponents' biases. It is a product, so that subnormal halves come out normal.
        var magnitude = Interop.FloatAsInt(Interop.IntAsFloat((half & 0x7FFF) << 13) * 5.192296858534828e33f);
        if ((half & 0x7C00) == 0x7C00)
            magnitude |= 0x7F800000;
        return Interop.IntAsFloat(magnitude | ((half & 0x8000) << 16));
    }

    /// <summary>The half nearest to a value, of two equally near ones the even one.</summary>
    public static ushort FromSingle(float value)
    {
        var bits = Interop.FloatAsInt(value);
        var sign = (bits >> 16) & 0x8000;
        bits &= 0x7FFFFFFF;
        uint half;
        if (bits > 0x7F800000)
            half = 0x7E00;
        else if (bits >= Overflow)
            half = 0x7C00;
        else if (bits >= SmallestNormal)
            half = (bits - 0x38000000 + 0xFFF + ((bits >> 13) & 1)) >> 13;
        else
            // Adding 0.5 leaves the subnormal half in the lowest bits, rounded.
            half = Interop.FloatAsInt(Interop.IntAsFloat(bits) + 0.5f) - 0x3F000000;
        return (ushort)(half | sign);
    }
}
