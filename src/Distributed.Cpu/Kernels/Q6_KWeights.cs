using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q6_K in products with bytes.</summary>
internal readonly unsafe struct Q6_KWeights : IInt8Weights
{
    private const int Upper = 128;
    private const int Scales = 192;
    private const int Factor = 208;
    private const int Vectors = 2;

    public static QuantType Type => Q6_K.Type;

    public static int Bits => 6;

    public static bool FactorsAreHalves => false;

    public static bool HasHalves => true;

    public static bool HasMins => false;

    public static InputTerms Terms => new(Offset: 32, HasHalves, HasMins);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Factors<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        // Loads of sixteen bytes, of which the factor is the last two, take less time than a gather.
        T.Load(unit + Factor - 14, stride, out _, out _, out _, out var last);
        T.StoreLowHalves(last >> 16, panel.Scratch);
        SixteenScales.Unpack<T>(unit + Scales, stride, panel, Vectors);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Numbers<T>(byte* unit, long stride, int block, int half)
        where T : struct, IRowBytes<T> =>
        // Four blocks have two bits each in the same bytes; two have the lower and two the upper halves of others.
        Nibbles.Load<T>(unit + (64 * (block >> 2)) + (32 * (block & 1)) + (16 * half), stride, 4 * ((block >> 1) & 1))
        | (((T.Load(unit + Upper + (32 * (block >> 2)) + (16 * half), stride) >> (2 * (block & 3))) << 4) & 48);
}
