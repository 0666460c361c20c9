using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q5_K in products with bytes.</summary>
internal readonly unsafe struct Q5_KWeights : IInt8Weights
{
    private const int Fifths = 16;
    private const int Numbers = 48;

    public static QuantType Type => Q5_K.Type;

    public static bool FactorsAreHalves => false;

    public static InputTerms Terms => new(Offset: 0, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        SixBitScalesAndMins.Unpack<T>(unit, stride, panel, Terms);
        for (var half = 0; half < 2; half++)
        {
            T.Load(unit + Fifths + (16 * half), stride, out var f0, out var f1, out var f2, out var f3);
            for (var pair = 0; pair < 4; pair++)
            {
                var first = panel.Numbers + (2 * pair * WeightPanel.BlockBytes) + (256 * half);
                var second = first + WeightPanel.BlockBytes;
                T.Load(unit + Numbers + (32 * pair) + (16 * half), stride, out var a, out var b, out var c, out var d);
                Store(a, f0, first, second);
                Store(b, f1, first + 64, second + 64);
                Store(c, f2, first + 128, second + 128);
                Store(d, f3, first + 192, second + 192);
                f0 >>= 2;
                f1 >>= 2;
                f2 >>= 2;
                f3 >>= 2;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T numbers, T fifths, byte* first, byte* second)
        where T : struct, IByteLanes<T>
    {
        var low = T.Create(15);
        var bit = T.Create(1);
        T.Store((numbers & low) | ((fifths & bit) << 4), first);
        T.Store(((numbers >> 4) & low) | (((fifths >> 1) & bit) << 4), second);
    }
}
