namespace Distributed.Cpu.Kernels;

/// <summary>
/// Sixteen float32 lanes, the unit in which every floating-point kernel is written: one 512-bit register, two of 256 bits, four of
/// 128 bits, or an array. The lanes and the order in which <see cref="Sum"/> folds them are the same in each, and products are
/// fused everywhere, so a kernel gives the same bits on every instruction set for finite values; with a NaN among them, <see cref="Min"/> and
/// <see cref="Max"/> may differ.
/// </summary>
/// <typeparam name="T">The implementing type.</typeparam>
internal unsafe interface ILanes<T>
    where T : struct, ILanes<T>
{
    /// <summary>Registers that the lanes take: one of a processor that has 32 of them, or several of one that may have 16.</summary>
    static abstract int Registers { get; }

    /// <summary>All lanes zero.</summary>
    static abstract T Zero { get; }

    /// <summary>All lanes <paramref name="value"/>.</summary>
    static abstract T Create(float value);

    /// <summary>Sixteen float32 values, unaligned.</summary>
    static abstract T Load(float* source);

    /// <summary>Sixteen IEEE halves, unaligned.</summary>
    static abstract T LoadHalf(ushort* source);

    /// <summary>Sixteen bfloat16 values, unaligned.</summary>
    static abstract T LoadBrain(ushort* source);

    /// <summary>Sixteen signed bytes, unaligned.</summary>
    static abstract T LoadBytes(sbyte* source);

    /// <summary>Writes the lanes, unaligned.</summary>
    static abstract void Store(T value, float* target);

    /// <summary>Writes integers from −128 to 127 as signed bytes.</summary>
    static abstract void StoreBytes(T value, sbyte* target);

    static abstract T operator +(T left, T right);

    static abstract T operator -(T left, T right);

    static abstract T operator *(T left, T right);

    static abstract T operator /(T left, T right);

    /// <summary>left × right + addend with one rounding.</summary>
    static abstract T MultiplyAdd(T left, T right, T addend);

    /// <summary>The smaller of each pair.</summary>
    static abstract T Min(T left, T right);

    /// <summary>The larger of each pair.</summary>
    static abstract T Max(T left, T right);

    /// <summary>Absolute values.</summary>
    static abstract T Abs(T value);

    /// <summary>To the nearest integer, ties to even.</summary>
    static abstract T Round(T value);

    /// <summary>2 to the power of <paramref name="value"/>, integers from −126 to 127.</summary>
    static abstract T PowerOfTwo(T value);

    /// <summary>Adds the lowest nine bits of <paramref name="steps"/> to the exponent of <paramref name="value"/>, lane by lane.</summary>
    static abstract T AddToExponent(T value, T steps);

    /// <summary>The bits of <paramref name="set"/> where <paramref name="mask"/> has ones, else those of <paramref name="clear"/>.</summary>
    static abstract T Select(T mask, T set, T clear);

    /// <summary>Whether any lane of <paramref name="left"/> is larger than its counterpart.</summary>
    static abstract bool AnyGreater(T left, T right);

    /// <summary>The lanes' sum: the upper half is added to the lower until one is left.</summary>
    static abstract float Sum(T value);

    /// <summary>The largest lane.</summary>
    static abstract float Largest(T value);
}

/// <summary>The number of lanes in <see cref="ILanes{T}"/>.</summary>
internal static class Lanes
{
    public const int Count = 16;
}
