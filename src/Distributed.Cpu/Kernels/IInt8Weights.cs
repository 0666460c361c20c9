using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>A quantised type in products with bytes: units of one or eight blocks of 32 columns.</summary>
internal unsafe interface IInt8Weights
{
    /// <summary>The type.</summary>
    static abstract QuantType Type { get; }

    /// <summary>What it wants of the input.</summary>
    static abstract InputTerms Terms { get; }

    /// <summary>It writes <see cref="WeightPanel.Halves"/>, not <see cref="WeightPanel.Factors"/>.</summary>
    static abstract bool FactorsAreHalves { get; }

    /// <summary>Unpacks a unit of sixteen rows.</summary>
    /// <param name="unit">The unit of the first row: the type's own block.</param>
    /// <param name="stride">Bytes from a row to the next.</param>
    /// <param name="panel">Room for the unit's blocks.</param>
    static abstract void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>;
}
