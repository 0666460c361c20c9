using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q6_K in products with bytes: each half of a block has its own scale, and 32 × the half's sum of the input is taken off.</summary>
internal readonly unsafe struct Q6_KWeights : IInt8Weights
{
    private const int Offset = 32;
    private const int Upper = 128;
    private const int Scales = 192;
    private const int Factor = 208;

    public static QuantType Type => Q6_K.Type;

    public static bool SevenBits => true;

    public static void Unpack(byte* unit, int block, byte* numbers)
    {
        var (half, quarter) = (block / 4, block % 4);
        for (var i = 0; i < 32; i++)
        {
            var low = (unit[(half * 64) + (quarter % 2 * 32) + i] >> (quarter / 2 * 4)) & 15;
            var high = (unit[Upper + (half * 32) + i] >> (quarter * 2)) & 3;
            numbers[i] = (byte)(low | (high << 4));
        }
    }

    public static float Add(float sum, int first, int second, byte* unit, int block, InputBlock input)
    {
        var scales = (sbyte*)unit + Scales + (2 * block);
        var product = (scales[0] * (first - (Offset * input.FirstSum)))
            + (scales[1] * (second - (Offset * (input.Sum - input.FirstSum))));
        return MathF.FusedMultiplyAdd(product, Halves.ToSingle(*(ushort*)(unit + Factor)) * input.Scale, sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadScales(byte* unit, long rowBytes, ref RowScales scales)
    {
        scales.Factor = EightRows.Halves(unit + Factor, rowBytes);
        var rows = stackalloc ulong[16];
        for (var row = 0; row < 8; row++, unit += rowBytes)
        {
            rows[row] = *(ulong*)(unit + Scales);
            rows[8 + row] = *(ulong*)(unit + Scales + 8);
        }
        ref var target = ref Unsafe.As<RowScales.RowBytes, byte>(ref scales.Scales);
        EightRows.Transpose(rows, ref target);
        EightRows.Transpose(rows + 8, ref Unsafe.Add(ref target, 64));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Load(byte* unit, int block)
    {
        var (half, quarter) = (block / 4, block % 4);
        var low = Vector256.Load(unit + (half * 64) + (quarter % 2 * 32)).AsUInt16();
        var high = Vector256.Load(unit + Upper + (half * 32)).AsUInt16() >> (quarter * 2);
        low = quarter < 2 ? low : low >> 4;
        return (low.AsByte() & Vector256.Create((byte)15)) | ((high << 4).AsByte() & Vector256.Create((byte)48));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(
        Vector256<float> sum, Vector256<int> first, Vector256<int> second, ref RowScales scales, int block, InputBlock input)
    {
        first -= Vector256.Create(Offset * input.FirstSum);
        second -= Vector256.Create(Offset * (input.Sum - input.FirstSum));
        var product = (EightRows.Signed(ref scales.Scales, 2 * block) * first) + (EightRows.Signed(ref scales.Scales, (2 * block) + 1) * second);
        return Fma.MultiplyAdd(Vector256.ConvertToSingle(product), scales.Factor * Vector256.Create(input.Scale), sum);
    }
}
