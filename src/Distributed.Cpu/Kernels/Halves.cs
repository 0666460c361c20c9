namespace Distributed.Cpu.Kernels;

/// <summary>
/// IEEE half to single without a conversion instruction, for which .NET has no intrinsic (see <see cref="AssembledHalves"/>). The
/// bits of a half are moved into place, with an exponent 224 higher: a normal half h becomes f = 2¹¹² h, and the exponent of what is
/// not finite becomes a single's. Only a subnormal half comes out wrong, and 2f − 2⁹⁸ makes it right; anywhere else that is larger,
/// so the smaller of the two is taken. A multiplication brings it back. No subnormal single is met on the way: to many processors
/// those are exceptions that cost a hundred cycles, and small weights, values and scales are full of them.
/// </summary>
internal static class Halves
{
    /// <summary>The bits of the exponent that is added.</summary>
    public const uint Exponent = 224u << 23;

    /// <summary>2⁹⁸: twice what the bits of a zero become.</summary>
    public const float Zero = 3.16912650057057e29f;

    /// <summary>2⁻¹¹².</summary>
    public const float Back = 1.9259299443872359e-34f;

    /// <summary>The scalar twin.</summary>
    public static float ToSingle(ushort bits)
    {
        var normal = BitConverter.UInt32BitsToSingle(((bits & 0x7FFFu) << 13) | Exponent);
        var value = float.MinNative(normal, normal + normal - Zero) * Back;
        return BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) | ((bits & 0x8000u) << 16));
    }
}
