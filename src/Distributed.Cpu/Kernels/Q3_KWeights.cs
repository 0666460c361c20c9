using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q3_K in products with bytes: numbers raised by 4.</summary>
internal readonly unsafe struct Q3_KWeights : IInt8Weights
{
    private const int Numbers = 32;
    private const int Scales = 96;
    private const int Factor = 108;

    public static QuantType Type => Q3_K.Type;

    public static InputTerms Terms => new(Offset: 4, HasHalves: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        // Four bytes are read at once; those before the factor's two surely lie in the file.
        T.StoreLowHalves(T.Load(unit + Factor - 2, stride) >> 16, factors);
        var first = T.Load(unit + Scales, stride);
        var second = T.Load(unit + Scales + 4, stride);
        var upper = T.Load(unit + Scales + 8, stride);
        var (low, two) = (T.Create(15), T.Create(48));
        Store((first & low) | ((upper << 4) & two), factors, panel);
        Store((second & low) | ((upper << 2) & two), factors, panel + (2 * WeightPanel.Bytes(Terms)));
        Store(((first >> 4) & low) | (upper & two), factors, panel + (4 * WeightPanel.Bytes(Terms)));
        Store(((second >> 4) & low) | ((upper >> 2) & two), factors, panel + (6 * WeightPanel.Bytes(Terms)));
        for (var part = 0; part < 4; part++)
        {
            var (half, at) = (part / 2, part % 2 * 16);
            T.Load(unit + at, stride, out var t0, out var t1, out var t2, out var t3);
            T.Load(unit + Numbers + (32 * half) + at, stride, out var a, out var b, out var c, out var d);
            var block = panel + (4 * half * WeightPanel.Bytes(Terms)) + (at * WeightPanel.Rows);
            for (var quarter = 0; quarter < 4; quarter++, block += WeightPanel.Bytes(Terms))
            {
                var third = (4 * half) + quarter;
                T.Store(Number(a, t0, quarter, third), block);
                T.Store(Number(b, t1, quarter, third), block + 64);
                T.Store(Number(c, t2, quarter, third), block + 128);
                T.Store(Number(d, t3, quarter, third), block + 192);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Number<T>(T lower, T thirds, int quarter, int third)
        where T : struct, IByteLanes<T> =>
        ((lower >> (2 * quarter)) & T.Create(3)) | (((thirds >> third) & T.Create(1)) << 2);

    /// <summary>The four scales of two blocks, raised by 32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T four, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        for (var i = 0; i < 4; i++)
        {
            var target = panel + (i / 2 * WeightPanel.Bytes(Terms)) + (i % 2 * WeightPanel.VectorBytes);
            T.StoreScales(four, i, 32, factors, (float*)(target + WeightPanel.Scales));
        }
    }
}
