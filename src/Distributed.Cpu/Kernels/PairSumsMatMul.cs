using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products of a panel with AVX2, which has no dot product of bytes: pairs of products are added in 16 bits as long as they fit, and only
/// then in 32. Eight rows by four tokens are as many sums as leave registers for what is multiplied.
/// </summary>
internal sealed unsafe class PairSumsMatMul<TWeights>() : Int8MatMul<TWeights, ByteLanes256, RowBytes256>(InstructionSets.Avx2)
    where TWeights : struct, IInt8Weights
{
    private const int StepTokens = 4;
    private const int StepRows = 8;

    private static bool IsSmall
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => !TWeights.HasHalves && TWeights.Bits <= 4;
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
            for (var row = 0; row < WeightPanel.Rows; row += StepRows)
            {
                if (whole > 0 && IsSmall && row == 0)
                    SmallBlock(numbers, factors, values, scales, terms, task.Sums, whole);
                else if (whole > 0 && !IsSmall)
                    Block(
                        numbers + (row * sizeof(int)), factors + row, values, scales, terms, secondTerms, task.Sums + row, whole);
                for (var token = whole; token < task.Tokens; token++)
                    VectorInt8MatMul<TWeights, ByteLanes256, RowBytes256, Avx2RowSums>.Block(
                        numbers + (row * sizeof(int)), factors + row, values + (token * WeightPanel.BlockColumns), scales[token], terms[token],
                        TWeights.HasHalves ? secondTerms[token] : 0, task.Sums + (token * WeightPanel.Rows) + row);
            }
            numbers += WeightPanel.BlockBytes;
            factors += (TWeights.HasHalves ? 2 : 1) * (TWeights.HasMins ? 2 : 1) * WeightPanel.Rows;
            values += task.ValuesStep;
            scales = (float*)((byte*)scales + task.ScalesStep);
            terms = (int*)((byte*)terms + task.ScalesStep);
            secondTerms = (int*)((byte*)secondTerms + task.ScalesStep);
        }
    }

    /// <summary>Eight rows of a block times tokens, a multiple of four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Block(
        byte* numbers, float* factors, sbyte* values, float* scales, int* terms, int* secondTerms, float* sums, int tokens)
    {
        const int columns = WeightPanel.BlockColumns;
        const int sumRows = WeightPanel.Rows;
        var halfBytes = TWeights.HasHalves ? WeightPanel.BlockBytes / 2 : WeightPanel.BlockBytes;
        var runBytes = Math.Min(halfBytes, PairProducts.MostSums(TWeights.Bits) * WeightPanel.ColumnBytes);
        var ones = Vector256.Create((short)1);
        for (; tokens > 0; tokens -= StepTokens)
        {
            var number = numbers;
            var value = values;
            var factor = factors;
            var term = terms;
            for (var half = 0; half < (TWeights.HasHalves ? 2 : 1); half++)
            {
                var (a, b, c, d) = (Vector256<int>.Zero, Vector256<int>.Zero, Vector256<int>.Zero, Vector256<int>.Zero);
                if (!TWeights.HasMins && TWeights.Bits != PairProducts.SignedBits)
                {
                    a = Vector256.Create(term[0]);
                    b = Vector256.Create(term[1]);
                    c = Vector256.Create(term[2]);
                    d = Vector256.Create(term[3]);
                }
                for (var endHalf = number + halfBytes; number < endHalf;)
                {
                    if (TWeights.Bits == PairProducts.SignedBits)
                    {
                        // A sum of two products is all that 16 bits hold. Unsigned numbers are needed on one side: the magnitudes, with
                        // the signs given to the values.
                        var signed = (Vector256.Load(number) ^ Vector256.Create(PairProducts.EighthBit)).AsSByte();
                        var magnitudes = Avx2.Abs(signed);
                        a += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(Four(value), signed)), ones);
                        b += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(Four(value + columns), signed)), ones);
                        c += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(Four(value + (2 * columns)), signed)), ones);
                        d += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(Four(value + (3 * columns)), signed)), ones);
                        number += WeightPanel.ColumnBytes;
                        value += sizeof(int);
                    }
                    else
                    {
                        var (e, f, g, h) = (Vector256<short>.Zero, Vector256<short>.Zero, Vector256<short>.Zero, Vector256<short>.Zero);
                        for (var endRun = number + runBytes; number < endRun; number += WeightPanel.ColumnBytes)
                        {
                            var n = Vector256.Load(number);
                            e += Avx2.MultiplyAddAdjacent(n, Four(value));
                            f += Avx2.MultiplyAddAdjacent(n, Four(value + columns));
                            g += Avx2.MultiplyAddAdjacent(n, Four(value + (2 * columns)));
                            h += Avx2.MultiplyAddAdjacent(n, Four(value + (3 * columns)));
                            value += sizeof(int);
                        }
                        a += Avx2.MultiplyAddAdjacent(e, ones);
                        b += Avx2.MultiplyAddAdjacent(f, ones);
                        c += Avx2.MultiplyAddAdjacent(g, ones);
                        d += Avx2.MultiplyAddAdjacent(h, ones);
                    }
                }
                var scale = Vector256.Load(factor);
                Fma.MultiplyAdd(Vector256.ConvertToSingle(a), scale * scales[0], Vector256.Load(sums)).Store(sums);
                Fma.MultiplyAdd(Vector256.ConvertToSingle(b), scale * scales[1], Vector256.Load(sums + sumRows)).Store(sums + sumRows);
                Fma.MultiplyAdd(Vector256.ConvertToSingle(c), scale * scales[2], Vector256.Load(sums + (2 * sumRows))).Store(sums + (2 * sumRows));
                Fma.MultiplyAdd(Vector256.ConvertToSingle(d), scale * scales[3], Vector256.Load(sums + (3 * sumRows))).Store(sums + (3 * sumRows));
                factor += WeightPanel.Rows;
                term = secondTerms;
            }
            term = terms;
            for (var half = 0; TWeights.HasMins && half < (TWeights.HasHalves ? 2 : 1); half++)
            {
                var mins = Vector256.Load(factor);
                var t = (float*)term;
                Fma.MultiplyAdd(mins, Vector256.Create(t[0]), Vector256.Load(sums)).Store(sums);
                Fma.MultiplyAdd(mins, Vector256.Create(t[1]), Vector256.Load(sums + sumRows)).Store(sums + sumRows);
                Fma.MultiplyAdd(mins, Vector256.Create(t[2]), Vector256.Load(sums + (2 * sumRows))).Store(sums + (2 * sumRows));
                Fma.MultiplyAdd(mins, Vector256.Create(t[3]), Vector256.Load(sums + (3 * sumRows))).Store(sums + (3 * sumRows));
                factor += WeightPanel.Rows;
                term = secondTerms;
            }
            values += StepTokens * columns;
            scales += StepTokens;
            terms += StepTokens;
            secondTerms += StepTokens;
            sums += StepTokens * sumRows;
        }
    }

    /// <summary>
    /// Sixteen rows of a block of small numbers times tokens, a multiple of four: all that is added in 16 bits stays in registers, so that
    /// each value is loaded for sixteen rows at once.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void SmallBlock(byte* numbers, float* factors, sbyte* values, float* scales, int* terms, float* sums, int tokens)
    {
        const int columns = WeightPanel.BlockColumns;
        for (; tokens > 0; tokens -= StepTokens)
        {
            var (a, b, c, d) = (HalfTerm(terms), HalfTerm(terms + 1), HalfTerm(terms + 2), HalfTerm(terms + 3));
            var (e, f, g, h) = (a, b, c, d);
            var value = values;
            for (var number = numbers; number < numbers + WeightPanel.BlockBytes; number += WeightPanel.ColumnBytes)
            {
                var (lower, upper) = (Vector256.Load(number), Vector256.Load(number + Vector256<byte>.Count));
                var x = Four(value);
                a += Avx2.MultiplyAddAdjacent(lower, x);
                e += Avx2.MultiplyAddAdjacent(upper, x);
                x = Four(value + columns);
                b += Avx2.MultiplyAddAdjacent(lower, x);
                f += Avx2.MultiplyAddAdjacent(upper, x);
                x = Four(value + (2 * columns));
                c += Avx2.MultiplyAddAdjacent(lower, x);
                g += Avx2.MultiplyAddAdjacent(upper, x);
                x = Four(value + (3 * columns));
                d += Avx2.MultiplyAddAdjacent(lower, x);
                h += Avx2.MultiplyAddAdjacent(upper, x);
                value += sizeof(int);
            }
            Add(a, e, factors, scales[0], terms[0], sums);
            Add(b, f, factors, scales[1], terms[1], sums + WeightPanel.Rows);
            Add(c, g, factors, scales[2], terms[2], sums + (2 * WeightPanel.Rows));
            Add(d, h, factors, scales[3], terms[3], sums + (3 * WeightPanel.Rows));
            values += StepTokens * columns;
            scales += StepTokens;
            terms += StepTokens;
            sums += StepTokens * WeightPanel.Rows;
        }
    }

    /// <summary>Adds a block's products of sixteen rows to one token's sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(Vector256<short> lower, Vector256<short> upper, float* factors, float scale, int term, float* sums)
    {
        const int half = WeightPanel.Rows / 2;
        var ones = Vector256.Create((short)1);
        var (l, u) = (Avx2.MultiplyAddAdjacent(lower, ones), Avx2.MultiplyAddAdjacent(upper, ones));
        var (first, second) = (Vector256.Load(sums), Vector256.Load(sums + half));
        first = Fma.MultiplyAdd(Vector256.ConvertToSingle(l), Vector256.Load(factors) * scale, first);
        second = Fma.MultiplyAdd(Vector256.ConvertToSingle(u), Vector256.Load(factors + half) * scale, second);
        if (TWeights.HasMins)
        {
            var t = Vector256.Create(BitConverter.Int32BitsToSingle(term));
            first = Fma.MultiplyAdd(Vector256.Load(factors + WeightPanel.Rows), t, first);
            second = Fma.MultiplyAdd(Vector256.Load(factors + WeightPanel.Rows + half), t, second);
        }
        first.Store(sums);
        second.Store(sums + half);
    }

    /// <summary>
    /// What the two 16-bit sums of a row begin with, so that together they end with the term of an offset in them; 0 for weights with
    /// mins, whose terms are added as floats. An offset of 8 over 32 values makes at most 8 x 32 x 127 / 2 of each half, and with its own
    /// products a sum ends within 15 x 127 x 16 of zero; what overflows on the way comes back.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> HalfTerm(int* term) =>
        TWeights.HasMins ? Vector256<short>.Zero : Avx2.ShiftRightArithmetic(Avx2.BroadcastScalarToVector256((short*)term), 1);

    /// <summary>Four values for each row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<sbyte> Four(sbyte* values) => Vector256.Create(*(int*)values).AsSByte();
}
