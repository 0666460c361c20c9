using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_1 in products with bytes.</summary>
internal readonly unsafe struct Q4_1Weights : IInt8Weights
{
    public static QuantType Type => Q4_1.Type;

    public static bool FactorsAreHalves => true;

    public static InputTerms Terms => new(Offset: 0, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var both = T.LoadFirst(unit, stride);
        T.StoreLow(both, panel.Halves);
        T.StoreLow(both >> 16, panel.Halves + WeightPanel.Rows);
        Nibbles.Unpack<T>(unit + 4, stride, panel.Numbers);
    }
}
