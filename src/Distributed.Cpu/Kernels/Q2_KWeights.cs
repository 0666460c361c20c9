using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q2_K in products with bytes.</summary>
internal readonly unsafe struct Q2_KWeights : IInt8Weights
{
    private const int Lower = 16;
    private const int FactorPair = 80;
    private const int Vectors = 4;

    public static QuantType Type => Q2_K.Type;

    public static int Bits => 2;

    public static bool FactorsAreHalves => false;

    public static bool HasHalves => true;

    public static bool HasMins => true;

    public static InputTerms Terms => new(Offset: 0, HasHalves, HasMins);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Factors<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var both = T.Load(unit + FactorPair, stride);
        T.StoreLowHalves(both, panel.Scratch);
        // The sign goes into the factor: what is added is −factor × minimum.
        T.StoreLowHalves((both >> 16) ^ ((T.Create(255) >> 31) << 15), panel.Scratch + WeightPanel.Rows);
        T.Load(unit, stride, out var a, out var b, out var c, out var d);
        Scales(a, panel);
        Scales(b, panel.From(2, Vectors));
        Scales(c, panel.From(4, Vectors));
        Scales(d, panel.From(6, Vectors));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Numbers<T>(byte* unit, long stride, int block, int half)
        where T : struct, IRowBytes<T> =>
        (T.Load(unit + Lower + (32 * (block >> 2)) + (16 * half), stride) >> (2 * (block & 3))) & 3;

    /// <summary>Scales and minimums of two blocks: four bits each in four bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scales<T>(T four, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var low = T.Create(15);
        SixteenScales.Store(four & low, 0, panel.Scratch, panel.Factors, Vectors);
        SixteenScales.Store(
            (four >> 4) & low, 0, panel.Scratch + WeightPanel.Rows, panel.Factors + (2 * WeightPanel.Rows), Vectors);
    }
}
