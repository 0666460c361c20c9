using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>The eight scales and minimums of six bits that Q4_K and Q5_K have behind their two factors.</summary>
internal static unsafe class SixBitScalesAndMins
{
    /// <summary>Writes the scales and the negative minimums of eight blocks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel, int vectors)
        where T : struct, IByteLanes<T>
    {
        T.Load(unit, stride, out var both, out var a, out var b, out var c);
        var minFactors = panel.Scratch + WeightPanel.Rows;
        T.StoreLowHalves(both, panel.Scratch);
        // The sign goes into the factor: what is added is −factor × minimum.
        T.StoreLowHalves((both >> 16) ^ ((T.Create(255) >> 31) << 15), minFactors);
        // See SixBitScales for where the bits of the eight pairs lie in three words.
        var (six, four, two) = (T.Create(63), T.Create(15), T.Create(48));
        var target = panel.Factors;
        var later = panel.From(4, vectors).Factors;
        Store(a & six, panel.Scratch, target, vectors);
        Store(b & six, minFactors, target + WeightPanel.Rows, vectors);
        Store((c & four) | ((a >> 2) & two), panel.Scratch, later, vectors);
        Store(((c >> 4) & four) | ((b >> 2) & two), minFactors, later + WeightPanel.Rows, vectors);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T bytes, float* factors, float* target, int vectors)
        where T : struct, IByteLanes<T>
    {
        // Not a loop: the shifts by 8 × the index are to be constants.
        var step = vectors * WeightPanel.Rows;
        T.StoreScales(bytes, 0, 0, factors, target);
        T.StoreScales(bytes, 1, 0, factors, target + step);
        T.StoreScales(bytes, 2, 0, factors, target + (2 * step));
        T.StoreScales(bytes, 3, 0, factors, target + (3 * step));
    }
}
