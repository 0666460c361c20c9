using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_K in products with bytes.</summary>
internal readonly unsafe struct Q4_KWeights : IInt8Weights
{
    private const int Numbers = 16;

    public static QuantType Type => Q4_K.Type;

    public static bool FactorsAreHalves => false;

    public static InputTerms Terms => new(Offset: 0, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        SixBitScalesAndMins.Unpack<T>(unit, stride, panel, Terms);
        var low = T.Create(15);
        for (var pair = 0; pair < 4; pair++)
        {
            var first = panel.Numbers + (2 * pair * WeightPanel.BlockBytes);
            var second = first + WeightPanel.BlockBytes;
            for (var half = 0; half < 2; half++, first += 256, second += 256)
            {
                T.Load(unit + Numbers + (32 * pair) + (16 * half), stride, out var a, out var b, out var c, out var d);
                T.Store(a & low, first);
                T.Store(b & low, first + 64);
                T.Store(c & low, first + 128);
                T.Store(d & low, first + 192);
                T.Store((a >> 4) & low, second);
                T.Store((b >> 4) & low, second + 64);
                T.Store((c >> 4) & low, second + 128);
                T.Store((d >> 4) & low, second + 192);
            }
        }
    }
}
