using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_0 in products with bytes.</summary>
internal readonly unsafe struct Q4_0Weights : IInt8Weights
{
    public static QuantType Type => Q4_0.Type;

    public static bool FactorsAreHalves => true;

    public static InputTerms Terms => new(Offset: 8);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        T.StoreLow(T.LoadFirst(unit, stride), panel.Halves);
        Nibbles.Unpack<T>(unit + 2, stride, panel.Numbers);
    }
}
