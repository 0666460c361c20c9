using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Sixteen rows of quantised weights, unpacked for products with bytes: block after block of 32 columns. A block is 512 bytes of
/// small unsigned numbers [8][16 rows][4 columns], then float32 [16 rows] each: the scales (two with halves), then the minimums
/// (two with halves) where the type has them.
/// </summary>
internal static class WeightPanel
{
    /// <summary>Rows.</summary>
    public const int Rows = 16;

    /// <summary>Columns of a block.</summary>
    public const int BlockColumns = 32;

    /// <summary>Bytes of four columns.</summary>
    public const int ColumnBytes = 4 * Rows;

    /// <summary>Where a block's scales begin, in bytes.</summary>
    public const int Scales = BlockColumns * Rows;

    /// <summary>Bytes of a vector with a float32 for each row.</summary>
    public const int VectorBytes = Rows * sizeof(float);

    /// <summary>Bytes of the largest block.</summary>
    public const int MostBytes = Scales + (4 * VectorBytes);

    /// <summary>Where a block's minimums begin, in bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Mins(InputTerms terms) => Scales + (terms.HasHalves ? 2 * VectorBytes : VectorBytes);

    /// <summary>Bytes of a block.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Bytes(InputTerms terms) => Scales + ((terms.HasHalves ? 2 : 1) * (terms.HasMins ? 2 : 1) * VectorBytes);
}

/// <summary>
/// What a type of weights wants of each block of the input besides its integers and scale. With s the sum of the block's integers:
/// a term is −<paramref name="Offset"/> × s, an integer that takes the offset of the unsigned numbers off again; or, with minimums,
/// scale × s as float32. With halves there are two terms, each of the sum of 16 integers.
/// </summary>
/// <param name="Offset">What was added to the weights to make them unsigned; 0 with minimums.</param>
/// <param name="HasHalves">There is a scale for 16 columns, not for 32.</param>
/// <param name="HasMins">A minimum is added to each weight: weight = scale × number + minimum.</param>
internal readonly record struct InputTerms(int Offset, bool HasHalves = false, bool HasMins = false);

/// <summary>A quantised type in products with bytes: units of one or eight blocks of 32 columns.</summary>
internal unsafe interface IInt8Weights
{
    /// <summary>The type.</summary>
    static abstract Core.Quantization.QuantType Type { get; }

    /// <summary>What it wants of the input.</summary>
    static abstract InputTerms Terms { get; }

    /// <summary>Unpacks a unit of sixteen rows.</summary>
    /// <param name="unit">The unit of the first row: the type's own block.</param>
    /// <param name="stride">Bytes from a row to the next.</param>
    /// <param name="factors">Scratch, [2][16 rows].</param>
    /// <param name="panel">Room for the unit's blocks.</param>
    static abstract void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>;
}
