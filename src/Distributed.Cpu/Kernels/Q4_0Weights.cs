using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_0 in products with bytes: the −8 of every number is taken off as 8 × the sum of the input.</summary>
internal readonly unsafe struct Q4_0Weights : IInt8Weights
{
    private const int Offset = 8;

    public static QuantType Type => Q4_0.Type;

    public static bool SevenBits => true;

    public static void Unpack(byte* unit, int block, byte* numbers)
    {
        for (var i = 0; i < 16; i++)
        {
            numbers[i] = (byte)(unit[2 + i] & 15);
            numbers[16 + i] = (byte)(unit[2 + i] >> 4);
        }
    }

    public static float Add(float sum, int first, int second, byte* unit, int block, InputBlock input) => MathF.FusedMultiplyAdd(
        first + second - (Offset * input.Sum), Halves.ToSingle(*(ushort*)unit) * input.Scale, sum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadScales(byte* unit, long rowBytes, ref RowScales scales) => scales.Factor = EightRows.Halves(unit, rowBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Load(byte* unit, int block)
    {
        var packed = Avx2.BroadcastVector128ToVector256(unit + 2).AsUInt32();
        var shifted = Avx2.ShiftRightLogicalVariable(packed, Vector256.Create(0u, 0, 0, 0, 4, 4, 4, 4));
        return shifted.AsByte() & Vector256.Create((byte)15);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(
        Vector256<float> sum, Vector256<int> first, Vector256<int> second, ref RowScales scales, int block, InputBlock input)
    {
        var product = first + second - Vector256.Create(Offset * input.Sum);
        return Fma.MultiplyAdd(Vector256.ConvertToSingle(product), scales.Factor * Vector256.Create(input.Scale), sum);
    }
}
