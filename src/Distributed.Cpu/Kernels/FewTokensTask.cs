using System.Runtime.InteropServices;

namespace Distributed.Cpu.Kernels;

/// <summary>Blocks of sixteen rows times those of a few tokens. Assembled code knows this layout.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct FewTokensTask
{
    /// <summary>The first row's first unit.</summary>
    public byte* Unit;

    /// <summary>Bytes from a row to the next.</summary>
    public long Stride;

    /// <summary>[blocks][vectors][16 rows]</summary>
    public float* Factors;

    /// <summary>[tokens][32]: the first block's values; those of the next are <see cref="ValuesStep"/> bytes behind.</summary>
    public sbyte* Values;

    /// <summary>[tokens]: the first block's scales; the next ones are <see cref="ScalesStep"/> bytes behind, as with terms.</summary>
    public float* Scales;

    /// <summary>See <see cref="InputTerms"/>.</summary>
    public int* Terms;

    /// <summary>The second term, with halves.</summary>
    public int* SecondTerms;

    /// <summary>[tokens][16 rows]: what is added to.</summary>
    public float* Sums;

    /// <summary>Eight blocks at a time.</summary>
    public long Eights;

    /// <summary>Units that are left then.</summary>
    public long Rest;

    /// <summary>Bytes from a block's values to the next's.</summary>
    public long ValuesStep;

    /// <summary>Bytes from a block's scales to the next's.</summary>
    public long ScalesStep;
}
