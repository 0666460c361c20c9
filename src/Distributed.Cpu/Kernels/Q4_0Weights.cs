using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_0 in products with bytes.</summary>
internal readonly unsafe struct Q4_0Weights : IInt8Weights
{
    public static QuantType Type => Q4_0.Type;

    public static int Bits => 4;

    public static bool FactorsAreHalves => true;

    public static bool HasHalves => false;

    public static bool HasMins => false;

    public static InputTerms Terms => new(Offset: 8, HasHalves, HasMins);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Factors<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        panel.StoreHalves(T.LoadFirst(unit, stride), 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Numbers<T>(byte* unit, long stride, int block, int half)
        where T : struct, IRowBytes<T> => Nibbles.Load<T>(unit + 2, stride, 4 * half);
}
