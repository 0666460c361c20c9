namespace Distributed.Cpu.Kernels;

/// <summary>The integer sums of some rows of a panel, as wide as one register, and how they become part of the float sums.</summary>
/// <typeparam name="T">The implementing type.</typeparam>
internal unsafe interface IRowSums<T>
    where T : struct, IRowSums<T>
{
    /// <summary>The instructions it uses.</summary>
    static abstract InstructionSets Needs { get; }

    /// <summary>Rows: lanes.</summary>
    static abstract int Rows { get; }

    /// <summary>All lanes <paramref name="start"/>.</summary>
    static abstract T Create(int start);

    /// <summary>Adds the products of four columns.</summary>
    /// <param name="sum">The sums so far.</param>
    /// <param name="numbers">Unsigned bytes, [rows][4].</param>
    /// <param name="values">Four signed bytes from −127 to 127.</param>
    /// <param name="sevenBits">No number is above 127.</param>
    static abstract T Add(T sum, byte* numbers, sbyte* values, bool sevenBits);

    /// <summary>target = fma(sum, scales × factor, target), lane by lane.</summary>
    static abstract void MultiplyAdd(T sum, float* scales, float factor, float* target);

    /// <summary>target = fma(mins, term, target), lane by lane.</summary>
    static abstract void AddMins(float* mins, float term, float* target);
}
