namespace Distributed.Core.Quantization;

/// <summary>The twelve bytes in which Q4_K and Q5_K keep a scale and a minimum of six bits for each of eight groups.</summary>
public static class SixBitScales
{
    /// <summary>Bytes of the eight pairs.</summary>
    public const int Bytes = 12;

    /// <summary>
    /// The scale and minimum of a group. Groups 0–3 have the lower six bits of byte g and byte 4 + g. Groups 4–7 have their lower
    /// four bits in the two halves of byte 4 + g, and their upper two in what groups 0–3 leave free of bytes g − 4 and g.
    /// </summary>
    /// <param name="packed">The twelve bytes.</param>
    /// <param name="group">0 to 7.</param>
    public static (int Scale, int Min) Read(ReadOnlySpan<byte> packed, int group) => group < 4
        ? (packed[group] & 63, packed[group + 4] & 63)
        : ((packed[group + 4] & 15) | (packed[group - 4] >> 6 << 4), (packed[group + 4] >> 4) | (packed[group] >> 6 << 4));

    /// <summary>Sets the scale and minimum of a group. Groups are set in ascending order: the first four overwrite what others share.</summary>
    /// <param name="packed">The twelve bytes.</param>
    /// <param name="group">0 to 7.</param>
    /// <param name="scale">0 to 63.</param>
    /// <param name="min">0 to 63.</param>
    public static void Write(Span<byte> packed, int group, int scale, int min)
    {
        if (group < 4)
        {
            (packed[group], packed[group + 4]) = ((byte)scale, (byte)min);
            return;
        }

        packed[group + 4] = (byte)((scale & 15) | ((min & 15) << 4));
        packed[group - 4] |= (byte)(scale >> 4 << 6);
        packed[group] |= (byte)(min >> 4 << 6);
    }
}
