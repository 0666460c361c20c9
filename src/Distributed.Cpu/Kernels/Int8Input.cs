using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Activations as signed bytes, for products with quantised weights: blocks of 32 values with a float32 scale (the largest
/// magnitude / 127) and, for each kind of weights they meet, one or two terms (<see cref="InputTerms"/>).
/// Block b of token t lies at index b × tokens + t of each array, so that a kernel that keeps a block of weights in registers
/// reads its tokens one after the other.
/// </summary>
internal unsafe struct Int8Input
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 32;

    /// <summary>Kinds of weights that one input can meet at once.</summary>
    public const int Slots = 4;

    /// <summary>Bytes per block: values, scale, terms.</summary>
    public const int BlockBytes = BlockLength + sizeof(float) + (Slots * 2 * sizeof(int));

    /// <summary>[blocks, tokens, 32]</summary>
    public sbyte* Values;

    /// <summary>[blocks, tokens]</summary>
    public float* Scales;

    private readonly int* _terms;
    private readonly long _count;

    /// <summary>Lays the arrays out in <paramref name="memory"/>, of at least tokens × blocks × <see cref="BlockBytes"/> bytes.</summary>
    public Int8Input(byte* memory, int tokens, int blocks)
    {
        _count = (long)tokens * blocks;
        Values = (sbyte*)memory;
        Scales = (float*)(memory + (_count * BlockLength));
        _terms = (int*)(Scales + _count);
    }

    /// <summary>[blocks, tokens]: a term of the kind of weights in a slot; integers, or with minimums the bits of floats.</summary>
    public readonly int* Terms(int slot, int half) => _terms + (((2 * slot) + half) * _count);

    /// <summary>Quantises one token's row of <paramref name="columns"/> values, a multiple of 32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Quantize<T>(float* row, int columns, int token, int tokens, ReadOnlySpan<InputTerms> kinds)
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
            var (firstSum, secondSum) = ((int)T.Sum(first), (int)T.Sum(second));
            for (var slot = 0; slot < kinds.Length; slot++)
            {
                if (kinds[slot].HasHalves)
                    Terms(slot, 1)[at] = Term(kinds[slot], secondSum, Scales[at]);
                Terms(slot, 0)[at] = Term(kinds[slot], kinds[slot].HasHalves ? firstSum : firstSum + secondSum, Scales[at]);
            }
        }
    }

    private static int Term(InputTerms kind, int sum, float scale) =>
        kind.HasMins ? BitConverter.SingleToInt32Bits(scale * sum) : -kind.Offset * sum;
}
