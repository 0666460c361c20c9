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

    /// <summary>[blocks][8][16 rows][4 columns]</summary>
    public readonly byte* Numbers = numbers;

    /// <summary>[blocks][vectors][16 rows]</summary>
    public readonly float* Factors = factors;

    /// <summary>The same as IEEE halves, where a type has its factors as such; they become <see cref="Factors"/> together.</summary>
    public readonly ushort* Halves = halves;

    /// <summary>[2][16 rows]</summary>
    public readonly float* Scratch = scratch;

    /// <summary>The panel from a later block on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public WeightPanel From(int block, InputTerms terms) => new(
        Numbers + (block * BlockBytes), Factors + (block * terms.Vectors * Rows), Halves + (block * terms.Vectors * Rows), Scratch);
}

/// <summary>
/// What a type of weights wants of each block of the input besides its integers and scale. With s the sum of the block's integers:
/// a term is −<paramref name="Offset"/> × s, an integer that takes the offset of the unsigned numbers off again; or, with minimums,
/// scale × s as float32. With halves there are two terms, each of the sum of 16 integers.
/// </summary>
/// <param name="Offset">What was added to the weights to make them unsigned; 0 with minimums.</param>
/// <param name="HasHalves">There is a scale for 16 columns, not for 32.</param>
/// <param name="HasMins">A minimum is added to each weight: weight = scale × number + minimum.</param>
internal readonly record struct InputTerms(int Offset, bool HasHalves = false, bool HasMins = false)
{
    /// <summary>Vectors of factors that a block of weights has.</summary>
    public int Vectors => (HasHalves ? 2 : 1) * (HasMins ? 2 : 1);

    /// <summary>Where the minimums begin among them.</summary>
    public int Mins => HasHalves ? 2 : 1;
}

/// <summary>A quantised type in products with bytes: units of one or eight blocks of 32 columns.</summary>
internal unsafe interface IInt8Weights
{
    /// <summary>The type.</summary>
    static abstract Core.Quantization.QuantType Type { get; }

    /// <summary>What it wants of the input.</summary>
    static abstract InputTerms Terms { get; }

    /// <summary>It writes <see cref="WeightPanel.Halves"/>, not <see cref="WeightPanel.Factors"/>.</summary>
    static abstract bool HasHalves { get; }

    /// <summary>Unpacks a unit of sixteen rows.</summary>
    /// <param name="unit">The unit of the first row: the type's own block.</param>
    /// <param name="stride">Bytes from a row to the next.</param>
    /// <param name="panel">Room for the unit's blocks.</param>
    static abstract void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>;
}
