using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_K in products with bytes: minimums are multiplied by the sums of the input.</summary>
internal readonly unsafe struct Q4_KWeights : IInt8Weights
{
    private const int Numbers = 16;

    public static QuantType Type => Q4_K.Type;

    public static bool SevenBits => true;

    public static void Unpack(byte* unit, int block, byte* numbers)
    {
        for (var i = 0; i < 32; i++)
            numbers[i] = (byte)((unit[Numbers + (block / 2 * 32) + i] >> (block % 2 * 4)) & 15);
    }

    public static float Add(float sum, int first, int second, byte* unit, int block, InputBlock input)
    {
        var (scale, min) = SixBitScales.Read(new ReadOnlySpan<byte>(unit + 4, SixBitScales.Bytes), block);
        var factor = Halves.ToSingle(*(ushort*)unit) * input.Scale;
        var minFactor = Halves.ToSingle(*(ushort*)(unit + 2)) * input.Scale;
        sum = MathF.FusedMultiplyAdd(scale * (first + second), factor, sum);
        return MathF.FusedMultiplyAdd(-min * input.Sum, minFactor, sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadScales(byte* unit, long rowBytes, ref RowScales scales)
    {
        scales.Factor = EightRows.Halves(unit, rowBytes);
        scales.MinFactor = EightRows.Halves(unit + 2, rowBytes);
        var rows = stackalloc ulong[16];
        for (var row = 0; row < 8; row++, unit += rowBytes)
        {
            // Twelve bytes as three words; see SixBitScales for where the bits of the eight pairs lie in them.
            var (a, b, c) = (*(uint*)(unit + 4), *(uint*)(unit + 8), *(uint*)(unit + 12));
            rows[row] = (a & 0x3F3F3F3F) | ((ulong)((c & 0x0F0F0F0F) | ((a >> 2) & 0x30303030)) << 32);
            rows[8 + row] = (b & 0x3F3F3F3F) | ((ulong)(((c >> 4) & 0x0F0F0F0F) | ((b >> 2) & 0x30303030)) << 32);
        }
        EightRows.Transpose(rows, ref Unsafe.As<RowScales.RowBytes, byte>(ref scales.Scales));
        EightRows.Transpose(rows + 8, ref Unsafe.As<RowScales.RowBytes, byte>(ref scales.Mins));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Load(byte* unit, int block)
    {
        var packed = Vector256.Load(unit + Numbers + (block / 2 * 32)).AsUInt16();
        return ((block & 1) == 0 ? packed : packed >> 4).AsByte() & Vector256.Create((byte)15);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(
        Vector256<float> sum, Vector256<int> first, Vector256<int> second, ref RowScales scales, int block, InputBlock input)
    {
        var inputScale = Vector256.Create(input.Scale);
        var product = EightRows.Unsigned(ref scales.Scales, block) * (first + second);
        var mins = EightRows.Unsigned(ref scales.Mins, block) * Vector256.Create(-input.Sum);
        sum = Fma.MultiplyAdd(Vector256.ConvertToSingle(product), scales.Factor * inputScale, sum);
        return Fma.MultiplyAdd(Vector256.ConvertToSingle(mins), scales.MinFactor * inputScale, sum);
    }
}
