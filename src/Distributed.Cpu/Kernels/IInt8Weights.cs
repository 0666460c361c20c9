using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>A quantised type in products with bytes: units of one or eight blocks of 32 columns.</summary>
internal unsafe interface IInt8Weights
{
    /// <summary>The type.</summary>
    static abstract QuantType Type { get; }

    /// <summary>What it wants of the input.</summary>
    static abstract InputTerms Terms { get; }

    /// <summary>There is a scale for 16 columns, not for 32.</summary>
    static abstract bool HasHalves { get; }

    /// <summary>A minimum is added to each weight.</summary>
    static abstract bool HasMins { get; }

    /// <summary>Bits of an unsigned number, at most 6; or 8, then it is signed, and what is unsigned of it is 128 more.</summary>
    static abstract int Bits { get; }

    /// <summary>Its units have one block, and their factors are IEEE halves: <see cref="WeightPanel.StoreHalves"/>.</summary>
    static abstract bool FactorsAreHalves { get; }

    /// <summary>Writes the factors of a unit of some rows to a panel.</summary>
    /// <param name="unit">The unit of the first row: the type's own block.</param>
    /// <param name="stride">Bytes from a row to the next.</param>
    /// <param name="panel">Where the unit's first factor of the first row belongs.</param>
    static abstract void Factors<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>;

    /// <summary>Sixteen columns of a unit as numbers.</summary>
    /// <param name="unit">The unit of the first row.</param>
    /// <param name="stride">Bytes from a row to the next.</param>
    /// <param name="block">The unit's block of 32 columns.</param>
    /// <param name="half">0 for the block's first sixteen columns, 1 for the others; a constant, so that shifts by it are.</param>
    static abstract T Numbers<T>(byte* unit, long stride, int block, int half)
        where T : struct, IRowBytes<T>;
}
