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

/// <summary>What a product needs to know of one block of <see cref="Int8Input"/> besides its integers.</summary>
/// <param name="Scale">What the integers are multiplied by.</param>
/// <param name="Sum">The sum of all 32.</param>
/// <param name="FirstSum">The sum of the first 16.</param>
internal readonly record struct InputBlock(float Scale, int Sum, int FirstSum);

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
