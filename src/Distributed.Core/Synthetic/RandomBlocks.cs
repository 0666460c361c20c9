using System.Runtime.InteropServices;
using Distributed.Core.Quantization;

namespace Distributed.Core.Synthetic;

/// <summary>
/// Random blocks of a format: what its numbers, signs and small scales are does not matter, so they are random bytes; the factors
/// they are multiplied with are then set so that values have a given root mean square and a mean of about 0.
/// </summary>
public sealed class RandomBlocks
{
    private const int BytesAtOnce = 1 << 15;
    private const int CalibrationValues = 1 << 14;

    /// <summary>Sets the factors of blocks of random bytes.</summary>
    private delegate void SetFactor(Span<byte> blocks, int blockBytes, float factor);

    private static readonly (QuantType Type, SetFactor Set)[] Table =
    [
        (F32.Type, (blocks, _, factor) => SetExponents(MemoryMarshal.Cast<byte, uint>(blocks), factor, 0x807F_FFFF, 23, 127)),
        (BF16.Type, (blocks, _, factor) => SetExponents(MemoryMarshal.Cast<byte, ushort>(blocks), factor, 0x807F, 7, 127)),
        (F16.Type, (blocks, _, factor) => SetExponents(MemoryMarshal.Cast<byte, ushort>(blocks), factor, 0x83FF, 10, 15)),
        (Q4_0.Type, Signed(0)), (Q5_0.Type, Signed(0)), (Q8_0.Type, Signed(0)), (Q1_0.Type, Signed(0)), (Q2_0.Type, Signed(0)),
        (Q4_1.Type, WithMinimum(0, 2, -7.5f)), (Q5_1.Type, WithMinimum(0, 2, -15.5f)),
        (Q2_K.Type, WithMinimum(80, 82, 1.5f)), (Q4_K.Type, WithMinimum(0, 2, 7.5f)), (Q5_K.Type, WithMinimum(0, 2, 15.5f)),
        (Q3_K.Type, Signed(108)), (Q6_K.Type, Signed(208)), (TQ1_0.Type, Signed(52)), (TQ2_0.Type, Signed(64)),
        (IQ2_XXS.Type, Signed(0)), (IQ2_XS.Type, Signed(0)), (IQ2_S.Type, Signed(0)), (IQ3_XXS.Type, Signed(0)), (IQ3_S.Type, Signed(0)),
        (IQ1_S.Type, Signed(0)), (IQ4_NL.Type, Signed(0)), (IQ4_XS.Type, Signed(0)),
        (IQ1_M.Type, SetScattered), (MXFP4.Type, SetMxfp4), (NVFP4.Type, SetNvfp4),
    ];

    private readonly QuantType _type;
    private readonly SetFactor _set;
    private readonly float _factor;

    /// <param name="type">The format.</param>
    /// <param name="rootMeanSquare">Of the values.</param>
    /// <exception cref="NotSupportedException">The table has no row for the format.</exception>
    public RandomBlocks(QuantType type, float rootMeanSquare)
    {
        _type = type;
        _set = Array.Find(Table, row => row.Type == type).Set ?? throw new NotSupportedException($"there are no random blocks of {type}");
        _factor = 1;
        _factor = rootMeanSquare / MeasureRootMeanSquare();
    }

    /// <summary>Bytes that are best made at once: whole blocks, few enough to stay in the cache in between.</summary>
    public int PartBytes => BytesAtOnce / _type.BlockBytes * _type.BlockBytes;

    /// <summary>Fills with random blocks.</summary>
    /// <param name="blocks">A whole number of blocks.</param>
    /// <param name="seed">The same seed gives the same blocks.</param>
    public void Fill(Span<byte> blocks, ulong seed)
    {
        new RandomBytes(seed).Fill(blocks);
        _set(blocks, _type.BlockBytes, _factor);
    }

    private float MeasureRootMeanSquare()
    {
        var values = new float[CalibrationValues / _type.BlockLength * _type.BlockLength];
        var blocks = new byte[_type.RowBytes(values.Length)];
        Fill(blocks, seed: 0);
        _type.Dequantize(blocks, values);
        return (float)Math.Sqrt(values.Average(value => (double)value * value));
    }

    private static SetFactor Signed(int at) => (blocks, blockBytes, factor) =>
    {
        var bits = BitConverter.HalfToUInt16Bits((Half)factor);
        for (; at < blocks.Length; blocks = blocks[blockBytes..])
        {
            // Numbers are not always spread evenly around 0; half of them are turned over.
            MemoryMarshal.Write(blocks[at..], (ushort)(bits | (MemoryMarshal.Read<ushort>(blocks[at..]) & 0x8000)));
        }
    };

    private static SetFactor WithMinimum(int at, int minimumAt, float ratio) => (blocks, blockBytes, factor) =>
    {
        var (half, minimum) = ((Half)factor, (Half)(factor * ratio));
        for (; at < blocks.Length; blocks = blocks[blockBytes..])
        {
            MemoryMarshal.Write(blocks[at..], half);
            MemoryMarshal.Write(blocks[minimumAt..], minimum);
        }
    };

    // Sign and mantissa stay random: values of one binary order of magnitude.
    private static void SetExponents(Span<uint> values, float factor, uint random, int shift, int bias)
    {
        var exponent = (uint)(bias + Exponent(factor)) << shift;
        foreach (ref var value in values)
            value = (value & random) | exponent;
    }

    private static void SetExponents(Span<ushort> values, float factor, ushort random, int shift, int bias)
    {
        var exponent = (ushort)(Math.Clamp(bias + Exponent(factor), 1, 2 * bias) << shift);
        foreach (ref var value in values)
            value = (ushort)((value & random) | exponent);
    }

    // The factor's bits lie in the upper four of each of the last four words.
    private static void SetScattered(Span<byte> blocks, int blockBytes, float factor)
    {
        var bits = BitConverter.HalfToUInt16Bits((Half)factor);
        for (; blocks.Length > 0; blocks = blocks[blockBytes..])
        {
            var words = MemoryMarshal.Cast<byte, ushort>(blocks[48..blockBytes]);
            for (var i = 0; i < words.Length; i++)
                words[i] = (ushort)((words[i] & 0xFFF) | (((bits >> (4 * i)) & 15) << 12));
        }
    }

    private static void SetMxfp4(Span<byte> blocks, int blockBytes, float factor)
    {
        for (; blocks.Length > 0; blocks = blocks[blockBytes..])
            blocks[0] = (byte)(127 + Exponent(factor));
    }

    // Four floats with four exponent bits and three mantissa bits; below 2^-6 the mantissa counts in steps of 2^-9.
    private static void SetNvfp4(Span<byte> blocks, int blockBytes, float factor)
    {
        var exponent = (int)MathF.Floor(MathF.Log2(factor));
        var bits = exponent < -6
            ? Math.Max(1, (int)MathF.Round(MathF.ScaleB(factor, 9)))
            : ((Math.Min(exponent, 7) + 7) << 3) | (int)((MathF.ScaleB(factor, -exponent) - 1) * 8);
        for (; blocks.Length > 0; blocks = blocks[blockBytes..])
            blocks[..4].Fill((byte)bits);
    }

    // The nearest power of two.
    private static int Exponent(float factor) => (int)MathF.Round(MathF.Log2(factor));
}
