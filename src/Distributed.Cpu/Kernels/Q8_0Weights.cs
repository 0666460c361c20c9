using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Q8_0 in products with bytes. The signed numbers are raised by 128 to fit instructions that take one unsigned side, and 128 × the
/// sum of the input is taken off again.
/// </summary>
internal readonly unsafe struct Q8_0Weights : IInt8Weights
{
    private const int Offset = 128;

    public static QuantType Type => Q8_0.Type;

    public static bool SevenBits => false;

    public static void Unpack(byte* unit, int block, byte* numbers)
    {
        for (var i = 0; i < 32; i++)
            numbers[i] = (byte)(unit[2 + i] ^ Offset);
    }

    public static float Add(float sum, int first, int second, byte* unit, int block, InputBlock input) => MathF.FusedMultiplyAdd(
        first + second - (Offset * input.Sum), Halves.ToSingle(*(ushort*)unit) * input.Scale, sum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadScales(byte* unit, long rowBytes, ref RowScales scales) => scales.Factor = EightRows.Halves(unit, rowBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Load(byte* unit, int block) => Vector256.Load(unit + 2) ^ Vector256.Create((byte)Offset);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(
        Vector256<float> sum, Vector256<int> first, Vector256<int> second, ref RowScales scales, int block, InputBlock input)
    {
        var product = first + second - Vector256.Create(Offset * input.Sum);
        return Fma.MultiplyAdd(Vector256.ConvertToSingle(product), scales.Factor * Vector256.Create(input.Scale), sum);
    }
}
