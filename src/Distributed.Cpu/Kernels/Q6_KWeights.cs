using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q6_K in products with bytes.</summary>
internal readonly unsafe struct Q6_KWeights : IInt8Weights
{
    private const int Upper = 128;
    private const int Scales = 192;
    private const int Factor = 208;

    public static QuantType Type => Q6_K.Type;

    public static bool FactorsAreHalves => false;

    public static InputTerms Terms => new(Offset: 32, HasHalves: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        // Four bytes are read at once; those before the factor's two surely lie in the file.
        T.StoreLowHalves(T.Load(unit + Factor - 2, stride) >> 16, panel.Scratch);
        SixteenScales.Unpack<T>(unit + Scales, stride, panel, Terms);
        for (var part = 0; part < 4; part++)
        {
            // Sixteen columns of each of four blocks: two in the lower and two in the upper halves of the same bytes.
            var (half, at) = (part / 2, part % 2 * 16);
            var first = panel.Numbers + (4 * half * WeightPanel.BlockBytes) + (at * WeightPanel.Rows);
            var third = first + (2 * WeightPanel.BlockBytes);
            T.Load(unit + Upper + (32 * half) + at, stride, out var u0, out var u1, out var u2, out var u3);
            T.Load(unit + (64 * half) + at, stride, out var a, out var b, out var c, out var d);
            Store(a, u0, first, third);
            Store(b, u1, first + 64, third + 64);
            Store(c, u2, first + 128, third + 128);
            Store(d, u3, first + 192, third + 192);
            first += WeightPanel.BlockBytes;
            third += WeightPanel.BlockBytes;
            T.Load(unit + (64 * half) + 32 + at, stride, out a, out b, out c, out d);
            Store(a, u0 >> 2, first, third);
            Store(b, u1 >> 2, first + 64, third + 64);
            Store(c, u2 >> 2, first + 128, third + 128);
            Store(d, u3 >> 2, first + 192, third + 192);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T lower, T upper, byte* first, byte* third)
        where T : struct, IByteLanes<T>
    {
        var (low, two) = (T.Create(15), T.Create(48));
        T.Store((lower & low) | ((upper << 4) & two), first);
        T.Store(((lower >> 4) & low) | (upper & two), third);
    }
}
