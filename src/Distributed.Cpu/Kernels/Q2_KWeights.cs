using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q2_K in products with bytes.</summary>
internal readonly unsafe struct Q2_KWeights : IInt8Weights
{
    private const int Numbers = 16;
    private const int Factors = 80;

    public static QuantType Type => Q2_K.Type;

    public static InputTerms Terms => new(Offset: 0, HasHalves: true, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        var both = T.Load(unit + Factors, stride);
        T.StoreLowHalves(both, factors);
        // The sign goes into the factor: what is added is −factor × minimum.
        T.StoreLowHalves((both >> 16) ^ ((T.Create(255) >> 31) << 15), factors + WeightPanel.Rows);
        T.Load(unit, stride, out var a, out var b, out var c, out var d);
        Scales(a, factors, panel);
        Scales(b, factors, panel + (2 * WeightPanel.Bytes(Terms)));
        Scales(c, factors, panel + (4 * WeightPanel.Bytes(Terms)));
        Scales(d, factors, panel + (6 * WeightPanel.Bytes(Terms)));
        for (var part = 0; part < 4; part++)
        {
            T.Load(unit + Numbers + (16 * part), stride, out a, out b, out c, out d);
            var block = panel + (part / 2 * 4 * WeightPanel.Bytes(Terms)) + (part % 2 * 256);
            for (var quarter = 0; quarter < 4; quarter++, block += WeightPanel.Bytes(Terms))
            {
                T.Store((a >> (2 * quarter)) & T.Create(3), block);
                T.Store((b >> (2 * quarter)) & T.Create(3), block + 64);
                T.Store((c >> (2 * quarter)) & T.Create(3), block + 128);
                T.Store((d >> (2 * quarter)) & T.Create(3), block + 192);
            }
        }
    }

    /// <summary>Scales and minimums of two blocks: four bits each in four bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scales<T>(T four, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        for (var i = 0; i < 4; i++)
        {
            var target = panel + (i / 2 * WeightPanel.Bytes(Terms)) + (i % 2 * WeightPanel.VectorBytes);
            T.StoreScales(four & T.Create(15), i, 0, factors, (float*)(target + WeightPanel.Scales));
            T.StoreScales((four >> 4) & T.Create(15), i, 0, factors + WeightPanel.Rows, (float*)(target + WeightPanel.Mins(Terms)));
        }
    }
}
