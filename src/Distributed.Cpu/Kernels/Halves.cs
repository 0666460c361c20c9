namespace Distributed.Cpu.Kernels;

/// <summary>
/// IEEE half to single without a conversion instruction, which .NET does not offer: the bits are moved into place and the exponent
/// is corrected. A subnormal half gets the exponent of the smallest normal one and has that number taken off again; a multiplication would
/// do as well, but processors take a hundred cycles for it, and the scales of real models are often that small.
/// </summary>
internal static class Halves
{
    /// <summary>The difference of the two exponent biases, in place.</summary>
    public const uint Rebias = 112u << 23;

    /// <summary>The bits of the smallest normal half.</summary>
    public const uint SmallestNormal = 0x0400;

    /// <summary>The smallest normal half, 2^−14.</summary>
    public const float Smallest = 6.103515625e-05f;

    /// <summary>The bits of <see cref="Smallest"/>.</summary>
    public const uint SmallestBits = 113u << 23;

    /// <summary>The bits of a half's infinity; what lies above is not a number.</summary>
    public const uint Infinity = 0x7C00;

    /// <summary>The exponent bits of a single's infinity.</summary>
    public const uint SingleInfinity = 0x7F800000;

    /// <summary>The scalar twin.</summary>
    public static float ToSingle(ushort bits)
    {
        var magnitude = bits & 0x7FFFu;
        var special = magnitude >= Infinity ? SingleInfinity : 0;
        var normal = (magnitude << 13) + Rebias;
        var subnormal = BitConverter.SingleToUInt32Bits(BitConverter.UInt32BitsToSingle((magnitude << 13) + SmallestBits) - Smallest);
        return BitConverter.UInt32BitsToSingle((magnitude < SmallestNormal ? subnormal : normal) | special | ((bits & 0x8000u) << 16));
    }
}
