using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_K in products with bytes.</summary>
internal readonly unsafe struct Q4_KWeights : IInt8Weights
{
    private const int Lower = 16;
    private const int Vectors = 2;

    public static QuantType Type => Q4_K.Type;

    public static int Bits => 4;

    public static bool FactorsAreHalves => false;

    public static bool HasHalves => false;

    public static bool HasMins => true;

    public static InputTerms Terms => new(Offset: 0, HasHalves, HasMins);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Factors<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        SixBitScalesAndMins.Unpack<T>(unit, stride, panel, Vectors);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Numbers<T>(byte* unit, long stride, int block, int half)
        where T : struct, IRowBytes<T> =>
        Nibbles.Load<T>(unit + Lower + (32 * (block >> 1)) + (16 * half), stride, 4 * (block & 1));
}
