using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q2_K in products with bytes.</summary>
internal readonly unsafe struct Q2_KWeights : IInt8Weights
{
    private const int Numbers = 16;
    private const int Factors = 80;

    public static QuantType Type => Q2_K.Type;

    public static bool FactorsAreHalves => false;

    public static InputTerms Terms => new(Offset: 0, HasHalves: true, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var both = T.Load(unit + Factors, stride);
        T.StoreLowHalves(both, panel.Scratch);
        // The sign goes into the factor: what is added is −factor × minimum.
        T.StoreLowHalves((both >> 16) ^ ((T.Create(255) >> 31) << 15), panel.Scratch + WeightPanel.Rows);
        T.Load(unit, stride, out var a, out var b, out var c, out var d);
        Scales(a, panel);
        Scales(b, panel.From(2, Terms));
        Scales(c, panel.From(4, Terms));
        Scales(d, panel.From(6, Terms));
        var two = T.Create(3);
        for (var part = 0; part < 4; part++)
        {
            T.Load(unit + Numbers + (16 * part), stride, out a, out b, out c, out d);
            var block = panel.Numbers + (part / 2 * 4 * WeightPanel.BlockBytes) + (part % 2 * 256);
            for (var quarter = 0; quarter < 4; quarter++, block += WeightPanel.BlockBytes)
            {
                T.Store(a & two, block);
                T.Store(b & two, block + 64);
                T.Store(c & two, block + 128);
                T.Store(d & two, block + 192);
                (a, b, c, d) = (a >> 2, b >> 2, c >> 2, d >> 2);
            }
        }
    }

    /// <summary>Scales and minimums of two blocks: four bits each in four bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scales<T>(T four, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var low = T.Create(15);
        SixteenScales.Store(four & low, 0, panel.Scratch, panel.Factors, Terms);
        SixteenScales.Store(
            (four >> 4) & low, 0, panel.Scratch + WeightPanel.Rows, panel.Factors + (Terms.Mins * WeightPanel.Rows), Terms);
    }
}
