using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products of a panel with AVX2, which has no dot product of bytes: pairs of products are added in 16 bits as long as they fit, and only
/// then in 32. Sixteen rows of unsigned numbers by four tokens are as many sums as leave registers for what is multiplied, so that each
/// value is loaded for sixteen rows at once; signed numbers need more registers, and go by eight rows.
/// </summary>
internal sealed unsafe class PairSumsMatMul<TWeights>() : Int8MatMul<TWeights, ByteLanes256, RowBytes256>(InstructionSets.Avx2)
    where TWeights : struct, IInt8Weights
{
    private const int StepTokens = 4;
    private const int HalfRows = WeightPanel.Rows / 2;

    /// <summary>All of a block, or of a half with a scale of its own, can be added in 16 bits.</summary>
    private static bool IsSmall
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TWeights.Bits <= 4;
    }

    private static bool IsSigned
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TWeights.Bits == PairProducts.SignedBits;
    }

    private static int Halves
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TWeights.HasHalves ? 2 : 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Multiply(in PanelTask task)
    {
        var numbers = task.Numbers;
        var factors = task.Factors;
        var values = task.Values;
        var scales = task.Scales;
        var terms = task.Terms;
        var secondTerms = task.SecondTerms;
        var whole = (int)task.Tokens / StepTokens * StepTokens;
        for (var block = 0; block < task.Blocks; block++)
        {
            if (whole > 0 && !IsSigned)
                Block(numbers, factors, values, scales, terms, secondTerms, task.Sums, whole);
            for (var row = 0; row < WeightPanel.Rows; row += HalfRows)
            {
                if (whole > 0 && IsSigned)
                    SignedRows(numbers + (row * sizeof(int)), factors + row, values, scales, task.Sums + row, whole);
                for (var token = whole; token < task.Tokens; token++)
                    VectorInt8MatMul<TWeights, ByteLanes256, RowBytes256, Avx2RowSums>.Block(
                        numbers + (row * sizeof(int)), factors + row, values + (token * WeightPanel.BlockColumns), scales[token], terms[token],
                        TWeights.HasHalves ? secondTerms[token] : 0, task.Sums + (token * WeightPanel.Rows) + row);
            }
            numbers += WeightPanel.BlockBytes;
            factors += Halves * (TWeights.HasMins ? 2 : 1) * WeightPanel.Rows;
            values += task.ValuesStep;
            scales = (float*)((byte*)scales + task.ScalesStep);
            terms = (int*)((byte*)terms + task.ScalesStep);
            secondTerms = (int*)((byte*)secondTerms + task.ScalesStep);
        }
    }

    /// <summary>A block of unsigned numbers times tokens, a multiple of four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block(
        byte* numbers, float* factors, sbyte* values, float* scales, int* terms, int* secondTerms, float* sums, int tokens)
    {
        const int columns = WeightPanel.BlockColumns;
        const int upper = WeightPanel.ColumnBytes / 2;
        var ones = Vector256.Create((short)1);
        for (; tokens > 0; tokens -= StepTokens)
        {
            var number = numbers;
            var value = values;
            for (var half = 0; half < Halves; half++)
            {
                var endHalf = number + (WeightPanel.BlockBytes / Halves);
                var term = half == 0 ? terms : secondTerms;
                // Four tokens with the lower eight rows, and with the upper.
                Vector256<int> a, b, c, d, e, f, g, h;
                if (IsSmall)
                {
                    var (i, j, k, l) = (HalfTerm(term), HalfTerm(term + 1), HalfTerm(term + 2), HalfTerm(term + 3));
                    var (m, n, o, p) = (i, j, k, l);
                    for (; number < endHalf; number += WeightPanel.ColumnBytes, value += sizeof(int))
                    {
                        var (low, high) = (Vector256.Load(number), Vector256.Load(number + upper));
                        var x = Four(value);
                        i += Avx2.MultiplyAddAdjacent(low, x);
                        m += Avx2.MultiplyAddAdjacent(high, x);
                        x = Four(value + columns);
                        j += Avx2.MultiplyAddAdjacent(low, x);
                        n += Avx2.MultiplyAddAdjacent(high, x);
                        x = Four(value + (2 * columns));
                        k += Avx2.MultiplyAddAdjacent(low, x);
                        o += Avx2.MultiplyAddAdjacent(high, x);
                        x = Four(value + (3 * columns));
                        l += Avx2.MultiplyAddAdjacent(low, x);
                        p += Avx2.MultiplyAddAdjacent(high, x);
                    }
                    (a, b, c, d) = (Widen(i, ones), Widen(j, ones), Widen(k, ones), Widen(l, ones));
                    (e, f, g, h) = (Widen(m, ones), Widen(n, ones), Widen(o, ones), Widen(p, ones));
                }
                else
                {
                    (a, b, c, d) = (WholeTerm(term), WholeTerm(term + 1), WholeTerm(term + 2), WholeTerm(term + 3));
                    (e, f, g, h) = (a, b, c, d);
                    for (; number < endHalf; number += 2 * WeightPanel.ColumnBytes, value += 2 * sizeof(int))
                    {
                        // Numbers of six bits leave room for two sums of two products; those of five, with room for four, come along.
                        var (low, high) = (Vector256.Load(number), Vector256.Load(number + upper));
                        var nextLow = Vector256.Load(number + WeightPanel.ColumnBytes);
                        var nextHigh = Vector256.Load(number + WeightPanel.ColumnBytes + upper);
                        var (x, y) = (Four(value), Four(value + sizeof(int)));
                        a += Widen(Avx2.MultiplyAddAdjacent(low, x) + Avx2.MultiplyAddAdjacent(nextLow, y), ones);
                        e += Widen(Avx2.MultiplyAddAdjacent(high, x) + Avx2.MultiplyAddAdjacent(nextHigh, y), ones);
                        (x, y) = (Four(value + columns), Four(value + columns + sizeof(int)));
                        b += Widen(Avx2.MultiplyAddAdjacent(low, x) + Avx2.MultiplyAddAdjacent(nextLow, y), ones);
                        f += Widen(Avx2.MultiplyAddAdjacent(high, x) + Avx2.MultiplyAddAdjacent(nextHigh, y), ones);
                        (x, y) = (Four(value + (2 * columns)), Four(value + (2 * columns) + sizeof(int)));
                        c += Widen(Avx2.MultiplyAddAdjacent(low, x) + Avx2.MultiplyAddAdjacent(nextLow, y), ones);
                        g += Widen(Avx2.MultiplyAddAdjacent(high, x) + Avx2.MultiplyAddAdjacent(nextHigh, y), ones);
                        (x, y) = (Four(value + (3 * columns)), Four(value + (3 * columns) + sizeof(int)));
                        d += Widen(Avx2.MultiplyAddAdjacent(low, x) + Avx2.MultiplyAddAdjacent(nextLow, y), ones);
                        h += Widen(Avx2.MultiplyAddAdjacent(high, x) + Avx2.MultiplyAddAdjacent(nextHigh, y), ones);
                    }
                }
                var factor = factors + (half * WeightPanel.Rows);
                Add(a, e, factor, scales, sums);
                Add(b, f, factor, scales + 1, sums + WeightPanel.Rows);
                Add(c, g, factor, scales + 2, sums + (2 * WeightPanel.Rows));
                Add(d, h, factor, scales + 3, sums + (3 * WeightPanel.Rows));
            }
            for (var half = 0; TWeights.HasMins && half < Halves; half++)
            {
                var term = (float*)(half == 0 ? terms : secondTerms);
                var mins = factors + ((Halves + half) * WeightPanel.Rows);
                AddMins(mins, term, sums);
                AddMins(mins, term + 1, sums + WeightPanel.Rows);
                AddMins(mins, term + 2, sums + (2 * WeightPanel.Rows));
                AddMins(mins, term + 3, sums + (3 * WeightPanel.Rows));
            }
            values += StepTokens * columns;
            scales += StepTokens;
            terms += StepTokens;
            secondTerms += StepTokens;
            sums += StepTokens * WeightPanel.Rows;
        }
    }

    /// <summary>
    /// Eight rows of a block of signed numbers times tokens, a multiple of four. A sum of two products is all that 16 bits hold. Unsigned
    /// numbers are needed on one side: the magnitudes, with the signs given to the values.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void SignedRows(byte* numbers, float* factors, sbyte* values, float* scales, float* sums, int tokens)
    {
        const int columns = WeightPanel.BlockColumns;
        const int sumRows = WeightPanel.Rows;
        var ones = Vector256.Create((short)1);
        var factor = Vector256.Load(factors);
        for (; tokens > 0; tokens -= StepTokens)
        {
            var (a, b, c, d) = (Vector256<int>.Zero, Vector256<int>.Zero, Vector256<int>.Zero, Vector256<int>.Zero);
            var value = values;
            for (var number = numbers; number < numbers + WeightPanel.BlockBytes; number += WeightPanel.ColumnBytes, value += sizeof(int))
            {
                var signed = (Vector256.Load(number) ^ Vector256.Create(PairProducts.EighthBit)).AsSByte();
                var magnitudes = Avx2.Abs(signed);
                a += Widen(Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(Four(value), signed)), ones);
                b += Widen(Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(Four(value + columns), signed)), ones);
                c += Widen(Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(Four(value + (2 * columns)), signed)), ones);
                d += Widen(Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(Four(value + (3 * columns)), signed)), ones);
            }
            Add(a, factor, Vector256.Create(*scales), sums);
            Add(b, factor, Vector256.Create(scales[1]), sums + sumRows);
            Add(c, factor, Vector256.Create(scales[2]), sums + (2 * sumRows));
            Add(d, factor, Vector256.Create(scales[3]), sums + (3 * sumRows));
            values += StepTokens * columns;
            scales += StepTokens;
            sums += StepTokens * sumRows;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Widen(Vector256<short> words, Vector256<short> ones) => Avx2.MultiplyAddAdjacent(words, ones);

    /// <summary>Adds one token's products with eight rows, and with the next eight, to its sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(Vector256<int> lower, Vector256<int> upper, float* factors, float* scale, float* sums)
    {
        var s = Vector256.Create(*scale);
        Add(lower, Vector256.Load(factors), s, sums);
        Add(upper, Vector256.Load(factors + HalfRows), s, sums + HalfRows);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(Vector256<int> products, Vector256<float> factors, Vector256<float> scale, float* sums) =>
        Fma.MultiplyAdd(Vector256.ConvertToSingle(products), scale * factors, Vector256.Load(sums)).Store(sums);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddMins(float* mins, float* term, float* sums)
    {
        var t = Vector256.Create(*term);
        Fma.MultiplyAdd(t, Vector256.Load(mins), Vector256.Load(sums)).Store(sums);
        Fma.MultiplyAdd(t, Vector256.Load(mins + HalfRows), Vector256.Load(sums + HalfRows)).Store(sums + HalfRows);
    }

    /// <summary>
    /// What the two 16-bit sums of a row begin with, so that together they end with the term of an offset in them; 0 for weights with
    /// mins, whose terms are added as floats. An offset of 8 over 32 values (or of 4 over 16) makes at most 8 x 32 x 127 / 2 of each half,
    /// and with its own products a sum ends within 15 x 127 x 16 of zero; what overflows on the way comes back. Offsets are even, so
    /// nothing is lost by halving.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> HalfTerm(int* term) =>
        TWeights.HasMins ? Vector256<short>.Zero : Avx2.ShiftRightArithmetic(Avx2.BroadcastScalarToVector256((short*)term), 1);

    /// <summary>The same in 32 bits, where each row has one sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> WholeTerm(int* term) => TWeights.HasMins ? Vector256<int>.Zero : Vector256.Create(*term);

    /// <summary>Four values for each row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<sbyte> Four(sbyte* values) => Vector256.Create(*(int*)values).AsSByte();
}
