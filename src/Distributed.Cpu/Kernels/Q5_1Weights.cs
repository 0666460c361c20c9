using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q5_1 in products with bytes.</summary>
internal readonly unsafe struct Q5_1Weights : IInt8Weights
{
    public static QuantType Type => Q5_1.Type;

    public static int Bits => 5;

    public static bool FactorsAreHalves => true;

    public static bool HasHalves => false;

    public static bool HasMins => true;

    public static InputTerms Terms => new(Offset: 0, HasHalves, HasMins);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Factors<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var both = T.LoadFirst(unit, stride);
        panel.StoreHalves(both, 0);
        panel.StoreHalves(both >> 16, 1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Numbers<T>(byte* unit, long stride, int block, int half)
        where T : struct, IRowBytes<T> => Nibbles.LoadFifth<T>(unit + 8, unit + 4, stride, half);
}
