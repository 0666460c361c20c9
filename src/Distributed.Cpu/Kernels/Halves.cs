namespace Distributed.Cpu.Kernels;

/// <summary>
/// IEEE half to single without a conversion instruction, which .NET does not offer: the bits are moved into place and the exponent
/// is corrected by a multiplication, which also normalises subnormal halves.
/// </summary>
internal static class Halves
{
    /// <summary>2^112: the difference of the two exponent biases.</summary>
    public const float Rebias = 5.192296858534828e33f;

    /// <summary>The bits of a half's infinity; what lies above is not a number.</summary>
    public const uint Infinity = 0x7C00;

    /// <summary>The exponent bits of a single's infinity.</summary>
    public const uint SingleInfinity = 0x7F800000;

    /// <summary>The scalar twin.</summary>
    public static float ToSingle(ushort bits)
    {
        var magnitude = bits & 0x7FFFu;
        var special = magnitude >= Infinity ? SingleInfinity : 0;
        var scaled = BitConverter.UInt32BitsToSingle(magnitude << 13) * Rebias;
        return BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(scaled) | special | ((bits & 0x8000u) << 16));
    }
}
