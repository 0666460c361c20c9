using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen signed bytes of scales, one for 16 columns, as Q6_K has them.</summary>
internal static unsafe class SixteenScales
{
    /// <summary>Writes the two scales of each of eight blocks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* scales, long stride, WeightPanel panel, int vectors)
        where T : struct, IByteLanes<T>
    {
        T.Load(scales, stride, out var a, out var b, out var c, out var d);
        // Signed bytes raised by 128 are unsigned ones.
        var sign = T.Create(128);
        Store(a ^ sign, 128, panel.Scratch, panel.Factors, vectors);
        Store(b ^ sign, 128, panel.Scratch, panel.From(2, vectors).Factors, vectors);
        Store(c ^ sign, 128, panel.Scratch, panel.From(4, vectors).Factors, vectors);
        Store(d ^ sign, 128, panel.Scratch, panel.From(6, vectors).Factors, vectors);
    }

    /// <summary>Writes the four scales of two blocks, raised by <paramref name="offset"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<T>(T four, int offset, float* factors, float* target, int vectors)
        where T : struct, IByteLanes<T>
    {
        // Not a loop: the shifts by 8 × the index are to be constants.
        var next = target + (vectors * WeightPanel.Rows);
        T.StoreScales(four, 0, offset, factors, target);
        T.StoreScales(four, 1, offset, factors, target + WeightPanel.Rows);
        T.StoreScales(four, 2, offset, factors, next);
        T.StoreScales(four, 3, offset, factors, next + WeightPanel.Rows);
    }
}
