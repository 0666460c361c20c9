using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Activations as signed bytes, for products with quantised weights: blocks of 32 values with a float32 scale (the largest
/// magnitude / 127) and the sums of the block's and of its first half's integers, which take care of the offsets in weights.
/// Block b of token t lies at index b × tokens + t of each array, so that a kernel that keeps a block of weights in registers
/// reads its tokens one after the other.
/// </summary>
internal unsafe struct Int8Input
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 32;

    /// <summary>Bytes per block: values, scale, two sums.</summary>
    public const int BlockBytes = BlockLength + sizeof(float) + (2 * sizeof(int));

    /// <summary>[blocks, tokens, 32]</summary>
    public sbyte* Values;

    /// <summary>[blocks, tokens]</summary>
    public float* Scales;

    /// <summary>[blocks, tokens]: the sum of 32 values.</summary>
    public int* Sums;

    /// <summary>[blocks, tokens]: the sum of the first 16.</summary>
    public int* FirstSums;

    /// <summary>Lays the arrays out in <paramref name="memory"/>, of at least tokens × blocks × <see cref="BlockBytes"/> bytes.</summary>
    public Int8Input(byte* memory, int tokens, int blocks)
    {
        var count = (long)tokens * blocks;
        Values = (sbyte*)memory;
        Scales = (float*)(memory + (count * BlockLength));
        Sums = (int*)(Scales + count);
        FirstSums = Sums + count;
    }

    /// <summary>What a product needs of a block besides its integers.</summary>
    public readonly InputBlock this[int block] => new(Scales[block], Sums[block], FirstSums[block]);

    /// <summary>The same from a later block on.</summary>
    public readonly Int8Input From(long block)
    {
        var later = this;
        later.Values += block * BlockLength;
        later.Scales += block;
        later.Sums += block;
        later.FirstSums += block;
        return later;
    }

    /// <summary>Quantises one token's row of <paramref name="columns"/> values, a multiple of 32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Quantize<T>(float* row, int columns, int token, int tokens)
        where T : struct, ILanes<T>
    {
        for (var block = 0; block < columns / BlockLength; block++, row += BlockLength)
        {
            var at = ((long)block * tokens) + token;
            var first = T.Load(row);
            var second = T.Load(row + Lanes.Count);
            var largest = T.Largest(T.Max(T.Abs(first), T.Abs(second)));
            // The reciprocal of the smallest magnitudes would be infinite; they vanish beside everything else.
            var inverse = T.Create(largest < 1e-30f ? 0 : 127 / largest);
            first = T.Round(first * inverse);
            second = T.Round(second * inverse);
            var values = Values + (at * BlockLength);
            T.StoreBytes(first, values);
            T.StoreBytes(second, values + Lanes.Count);
            Scales[at] = largest / 127;
            FirstSums[at] = (int)T.Sum(first);
            Sums[at] = FirstSums[at] + (int)T.Sum(second);
        }
    }
}

/// <summary>What a product needs to know of one block of <see cref="Int8Input"/> besides its integers.</summary>
/// <param name="Scale">What the integers are multiplied by.</param>
/// <param name="Sum">The sum of all 32.</param>
/// <param name="FirstSum">The sum of the first 16.</param>
internal readonly record struct InputBlock(float Scale, int Sum, int FirstSum);
