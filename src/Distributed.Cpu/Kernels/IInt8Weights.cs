using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// A quantised format as products with <see cref="Int8Input"/> see it: units of one or eight blocks of 32 small unsigned numbers,
/// and a way to turn the integer products of a block's two halves into a term of the sum. The scalar and the vector form of each
/// step stand side by side and give the same bits.
/// </summary>
internal unsafe interface IInt8Weights
{
    static abstract QuantType Type { get; }

    /// <summary>No number is above 127.</summary>
    static abstract bool SevenBits { get; }

    /// <summary>The 32 numbers of a block.</summary>
    /// <param name="unit">The first byte of the format's own block.</param>
    /// <param name="block">Which 32 values of it.</param>
    /// <param name="numbers">Room for 32 bytes.</param>
    static abstract void Unpack(byte* unit, int block, byte* numbers);

    /// <summary>Adds a block's term to <paramref name="sum"/>.</summary>
    /// <param name="sum">The sum so far.</param>
    /// <param name="first">Products of the block's first 16 numbers with the input's integers, added up.</param>
    /// <param name="second">The same of the last 16.</param>
    /// <param name="unit">The first byte of the format's own block.</param>
    /// <param name="block">Which 32 values of it.</param>
    /// <param name="input">The input block's scale and sums.</param>
    static abstract float Add(float sum, int first, int second, byte* unit, int block, InputBlock input);

    /// <summary>Reads the scales of eight rows' units.</summary>
    static abstract void LoadScales(byte* unit, long rowBytes, ref RowScales scales);

    /// <summary>The vector twin of <see cref="Unpack"/>.</summary>
    static abstract Vector256<byte> Load(byte* unit, int block);

    /// <summary>The vector twin of the other overload: one lane per row.</summary>
    static abstract Vector256<float> Add(
        Vector256<float> sum, Vector256<int> first, Vector256<int> second, ref RowScales scales, int block, InputBlock input);
}

/// <summary>The scales of a unit in eight rows, a lane per row.</summary>
internal struct RowScales
{
    /// <summary>The unit's factor.</summary>
    public Vector256<float> Factor;

    /// <summary>The factor of its minimums, where it has them.</summary>
    public Vector256<float> MinFactor;

    /// <summary>[16][8 rows] integer scales, where it has them.</summary>
    public RowBytes Scales;

    /// <summary>[16][8 rows] integer minimums, where it has them.</summary>
    public RowBytes Mins;

    /// <summary>Sixteen groups of eight bytes.</summary>
    [InlineArray(16)]
    internal struct RowBytes
    {
        private ulong _first;
    }
}
