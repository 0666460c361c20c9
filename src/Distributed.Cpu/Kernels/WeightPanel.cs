using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Sixteen rows of quantised weights, unpacked for products with bytes: block after block of 32 columns. A block has 512 bytes of
/// small unsigned numbers [8][16 rows][4 columns] and, in an array of their own, float32 factors [16 rows] each: the scales (two
/// with halves), then the minimums (two with halves) where the type has them.
/// </summary>
internal readonly unsafe struct WeightPanel(byte* numbers, float* factors, ushort* halves, float* scratch)
{
    /// <summary>Rows.</summary>
    public const int Rows = 16;

    /// <summary>Columns of a block.</summary>
    public const int BlockColumns = 32;

    /// <summary>Bytes of four columns' numbers.</summary>
    public const int ColumnBytes = 4 * Rows;

    /// <summary>Bytes of a block's numbers.</summary>
    public const int BlockBytes = BlockColumns * Rows;

    /// <summary>Bytes of a vector with a float32 for each row.</summary>
    public const int VectorBytes = Rows * sizeof(float);

    /// <summary>The most vectors of factors in a block.</summary>
    public const int MostVectors = 4;

    /// <summary>The most vectors of factors in a block of a type that has them as halves: a scale and a minimum.</summary>
    public const int MostHalfVectors = 2;

    /// <summary>[blocks][8][16 rows][4 columns]</summary>
    public readonly byte* Numbers = numbers;

    /// <summary>[blocks][vectors][16 rows]</summary>
    public readonly float* Factors = factors;

    /// <summary>
    /// Room for the same as IEEE halves, where a type has its factors as such, to become <see cref="Factors"/> together; null where they
    /// are to become that at once.
    /// </summary>
    public readonly ushort* Halves = halves;

    /// <summary>[2][16 rows]</summary>
    public readonly float* Scratch = scratch;

    /// <summary>The panel from a later block on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public WeightPanel From(int block, int vectors) =>
        new(Numbers + (block * BlockBytes), Factors + (block * vectors * Rows), Halves + (block * vectors * Rows), Scratch);

    /// <summary>The panel from a later row on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public WeightPanel FromRow(int row) => new(Numbers + (row * sizeof(int)), Factors + row, Halves + row, Scratch);

    /// <summary>Writes factors that are halves, in the lower two bytes of each lane, as such or as float32.</summary>
    /// <param name="value">Lanes of rows.</param>
    /// <param name="vector">Which of the block's vectors.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StoreHalves<T>(T value, int vector)
        where T : struct, IByteLanes<T>
    {
        if (Halves is null)
            T.StoreLowHalves(value, Factors + (vector * Rows));
        else
            T.StoreLow(value, Halves + (vector * Rows));
    }
}
