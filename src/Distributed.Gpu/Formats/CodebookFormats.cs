using Distributed.Gpu.Kernels;
using ILGPU;

namespace Distributed.Gpu.Formats;

/// <inheritdoc cref="Core.Quantization.IQ2_XXS"/>
public readonly struct IQ2_XXSFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 66;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var part = block + 2 + (i >> 5 << 3);
        var rest = CodebookValues.Word(bytes, part + 4);
        var signs = CodebookValues.EvenSigns((int)(rest >> (7 * (i >> 3 & 3))) & 127);
        var scale = HalfBits.Load(bytes, block) * (0.5f + (rest >> 28)) * 0.25f;
        return CodebookValues.Signed(scale * books[DeviceTables.IQ2_XXS + (bytes[part + (i >> 3 & 3)] << 3) + (i & 7)], signs, i & 7);
    }
}

/// <inheritdoc cref="Core.Quantization.IQ2_XS"/>
public readonly struct IQ2_XSFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 74;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        int bits = bytes.Cast<ushort>()[(block + 2 + (i >> 3 << 1)) >> 1];
        var scale = HalfBits.Load(bytes, block) * (0.5f + ((bytes[block + 66 + (i >> 5)] >> ((i >> 4 & 1) << 2)) & 15)) * 0.25f;
        return CodebookValues.Signed(
            scale * books[DeviceTables.IQ2_XS + ((bits & 511) << 3) + (i & 7)], CodebookValues.EvenSigns(bits >> 9), i & 7);
    }
}

/// <inheritdoc cref="Core.Quantization.IQ2_S"/>
public readonly struct IQ2_SFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 82;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var index = bytes[block + 2 + (i >> 3)] | (((bytes[block + 66 + (i >> 5)] >> ((i >> 3 & 3) << 1)) & 3) << 8);
        var scale = HalfBits.Load(bytes, block) * (0.5f + ((bytes[block + 74 + (i >> 5)] >> ((i >> 4 & 1) << 2)) & 15)) * 0.25f;
        return CodebookValues.Signed(
            scale * books[DeviceTables.IQ2_S + (index << 3) + (i & 7)], bytes[block + 34 + (i >> 3)], i & 7);
    }
}

/// <inheritdoc cref="Core.Quantization.IQ3_XXS"/>
public readonly struct IQ3_XXSFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 98;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var rest = CodebookValues.Word(bytes, block + 66 + (i >> 5 << 2));
        var signs = CodebookValues.EvenSigns((int)(rest >> ((i >> 3 & 3) * 7)) & 127);
        var scale = HalfBits.Load(bytes, block) * (0.5f + (rest >> 28)) * 0.5f;
        return CodebookValues.Signed(scale * books[DeviceTables.IQ3_XXS + (bytes[block + 2 + (i >> 2)] << 2) + (i & 3)], signs, i & 7);
    }
}

/// <inheritdoc cref="Core.Quantization.IQ3_S"/>
public readonly struct IQ3_SFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 110;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var index = bytes[block + 2 + (i >> 2)] | (((bytes[block + 66 + (i >> 5)] >> (i >> 2 & 7)) & 1) << 8);
        var scale = HalfBits.Load(bytes, block) * (1 + (2 * ((bytes[block + 106 + (i >> 6)] >> ((i >> 5 & 1) << 2)) & 15)));
        return CodebookValues.Signed(scale * books[DeviceTables.IQ3_S + (index << 2) + (i & 3)], bytes[block + 74 + (i >> 3)], i & 7);
    }
}

/// <inheritdoc cref="Core.Quantization.IQ1_S"/>
public readonly struct IQ1_SFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 50;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        int rest = bytes.Cast<ushort>()[(block + 34 + (i >> 5 << 1)) >> 1];
        var index = bytes[block + 2 + (i >> 3)] | (((rest >> ((i >> 3 & 3) * 3)) & 7) << 8);
        var scale = HalfBits.Load(bytes, block) * (1 + (2 * ((rest >> 12) & 7)));
        return scale * (books[DeviceTables.IQ1 + (index << 3) + (i & 7)] + ((rest & 0x8000) == 0 ? 0.125f : -0.125f));
    }
}

/// <inheritdoc cref="Core.Quantization.IQ1_M"/>
public readonly struct IQ1_MFormat : IWeightFormat
{
    /// <inheritdoc/>
    public int BlockLength => 256;

    /// <inheritdoc/>
    public int BlockBytes => 56;

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, ArrayView<sbyte> books, long block, int i)
    {
        var words = bytes.Cast<ushort>();
        var first = (block + 48) >> 1;
        var bits = (words[first] >> 12) | ((words[first + 1] >> 8) & 0xF0) | ((words[first + 2] >> 4) & 0xF00) | (words[first + 3] & 0xF000);
        var rest = bytes[block + 32 + (i >> 4)] >> ((i >> 3 & 1) << 2);
        var scale = HalfBits.ToSingle((uint)bits) * (1 + (2 * ((words[first + (i >> 6)] >> ((i >> 4 & 3) * 3)) & 7)));
        var index = bytes[block + (i >> 3)] | ((rest & 7) << 8);
        return scale * (books[DeviceTables.IQ1 + (index << 3) + (i & 7)] + ((rest & 8) == 0 ? 0.125f : -0.125f));
    }
}

/// <summary>What the formats with codebooks share.</summary>
internal static class CodebookValues
{
    /// <inheritdoc cref="Core.Quantization.Codebook.EvenSigns"/>
    public static int EvenSigns(int bits)
    {
        var parity = bits ^ (bits >> 4);
        parity ^= parity >> 2;
        parity ^= parity >> 1;
        return bits | ((parity & 1) << 7);
    }

    /// <summary>The value, negative where bit <paramref name="i"/> of the signs is set.</summary>
    public static float Signed(float value, int signs, int i) => ((signs >> i) & 1) == 0 ? value : -value;

    /// <summary>Four bytes at an even place.</summary>
    public static uint Word(ArrayView<byte> bytes, long at)
    {
        var words = bytes.Cast<ushort>();
        return words[at >> 1] | ((uint)words[(at >> 1) + 1] << 16);
    }
}
