using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen signed bytes of scales, one for 16 columns, as Q6_K has them.</summary>
internal static unsafe class SixteenScales
{
    /// <summary>Writes the two scales of each of eight blocks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* scales, long stride, WeightPanel panel, InputTerms terms)
        where T : struct, IByteLanes<T>
    {
        T.Load(scales, stride, out var a, out var b, out var c, out var d);
        // Signed bytes raised by 128 are unsigned ones.
        var sign = T.Create(128);
        Store(a ^ sign, 128, panel.Scratch, panel.Factors, terms);
        Store(b ^ sign, 128, panel.Scratch, panel.From(2, terms).Factors, terms);
        Store(c ^ sign, 128, panel.Scratch, panel.From(4, terms).Factors, terms);
        Store(d ^ sign, 128, panel.Scratch, panel.From(6, terms).Factors, terms);
    }

    /// <summary>Writes the four scales of two blocks, raised by <paramref name="offset"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<T>(T four, int offset, float* factors, float* target, InputTerms terms)
        where T : struct, IByteLanes<T>
    {
        // Not a loop: the shifts by 8 × the index are to be constants.
        var next = target + (terms.Vectors * WeightPanel.Rows);
        T.StoreScales(four, 0, offset, factors, target);
        T.StoreScales(four, 1, offset, factors, target + WeightPanel.Rows);
        T.StoreScales(four, 2, offset, factors, next);
        T.StoreScales(four, 3, offset, factors, next + WeightPanel.Rows);
    }
}
