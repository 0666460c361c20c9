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

    public static bool FactorsAreHalves => false;

    public static InputTerms Terms => new(Offset: 4, HasHalves: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        // Four bytes are read at once; those before the factor's two surely lie in the file.
        T.StoreLowHalves(T.Load(unit + Factor - 2, stride) >> 16, panel.Scratch);
        var first = T.Load(unit + Scales, stride);
        var second = T.Load(unit + Scales + 4, stride);
        var upper = T.Load(unit + Scales + 8, stride);
        var (low, two) = (T.Create(15), T.Create(48));
        Store((first & low) | ((upper << 4) & two), panel);
        Store((second & low) | ((upper << 2) & two), panel.From(2, Terms));
        Store(((first >> 4) & low) | (upper & two), panel.From(4, Terms));
        Store(((second >> 4) & low) | ((upper >> 2) & two), panel.From(6, Terms));
        for (var part = 0; part < 4; part++)
        {
            var (half, at) = (part / 2, part % 2 * 16);
            T.Load(unit + at, stride, out var t0, out var t1, out var t2, out var t3);
            T.Load(unit + Numbers + (32 * half) + at, stride, out var a, out var b, out var c, out var d);
            if (half > 0)
                (t0, t1, t2, t3) = (t0 >> 4, t1 >> 4, t2 >> 4, t3 >> 4);
            var block = panel.Numbers + (4 * half * WeightPanel.BlockBytes) + (at * WeightPanel.Rows);
            for (var quarter = 0; quarter < 4; quarter++, block += WeightPanel.BlockBytes)
            {
                T.Store(Number(a, t0), block);
                T.Store(Number(b, t1), block + 64);
                T.Store(Number(c, t2), block + 128);
                T.Store(Number(d, t3), block + 192);
                (a, b, c, d) = (a >> 2, b >> 2, c >> 2, d >> 2);
                (t0, t1, t2, t3) = (t0 >> 1, t1 >> 1, t2 >> 1, t3 >> 1);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Number<T>(T lower, T third)
        where T : struct, IByteLanes<T> => (lower & T.Create(3)) | ((third & T.Create(1)) << 2);

    /// <summary>The four scales of two blocks, raised by 32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T four, WeightPanel panel)
        where T : struct, IByteLanes<T> => SixteenScales.Store(four, 32, panel.Scratch, panel.Factors, Terms);
}
