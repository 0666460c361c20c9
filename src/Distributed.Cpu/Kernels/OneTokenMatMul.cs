using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products of quantised weights with one token at a time: a block of some rows is unpacked in registers, multiplied at once and folded
/// to one sum for each row. A second token finds the rows in the caches. The rows are far apart: each is a stream of its own through
/// memory, which processors follow by themselves as long as all of them go on at an even pace.
/// </summary>
/// <typeparam name="TWeights">The type of the weights.</typeparam>
/// <typeparam name="TBytes">What unpacks their factors.</typeparam>
/// <typeparam name="T">What unpacks and multiplies their numbers.</typeparam>
/// <typeparam name="TSums">The register of sums.</typeparam>
internal static unsafe class OneTokenMatMul<TWeights, TBytes, T, TSums>
    where TWeights : struct, IInt8Weights
    where TBytes : struct, IByteLanes<TBytes>
    where T : struct, IRowProducts<T, TSums>
    where TSums : struct
{
    private const int MostBlocks = 8;
    private const int CacheLine = 64;
    private const int LinesAtOnce = 2;

    // A constant for the compiler, as the number of blocks is not, for all of the types with one block but MXFP4.
    private static bool HasOneBlock => TWeights.FactorsAreHalves;

    private static int UnitBlocks => TWeights.Type.BlockLength / WeightPanel.BlockColumns;

    /// <summary>Multiplies rows from <paramref name="row"/> on and returns the first that is left, less than a step before the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Run(in MatMulTask task, int row, int endRow)
    {
        var step = (endRow - row) / T.Rows;
        var sums = stackalloc float[T.Rows];
        for (var end = row + step; row < end; row++)
        {
            for (var token = 0; token < task.Tokens; token++)
            {
                Rows(task, token, task.Weights + (row * task.RowBytes), step * task.RowBytes, TWeights.Type.BlockBytes, UnitBlocks, sums);
                task.Write(token, row, step, T.Rows, sums);
            }
        }
        return row + (step * (T.Rows - 1));
    }

    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Rows(in MatMulTask task, int token, byte* unit, long stride, long unitBytes, int unitBlocks, float* sums)
    {
        // On whole cache lines: a vector across two of them is slow to come back.
        const int factorCount = MostBlocks * WeightPanel.MostVectors * WeightPanel.Rows;
        var memory = stackalloc byte[((factorCount + (2 * WeightPanel.Rows)) * sizeof(float)) + CacheLine];
        var factors = (float*)(memory + (-(nint)memory & (CacheLine - 1)));
        var scratch = factors + factorCount;
        var step = (nint)task.Tokens;
        var valuesStep = step * WeightPanel.BlockColumns;
        var values = task.Quantized.Values + (token * WeightPanel.BlockColumns);
        var scales = task.Quantized.Scales + token;
        var terms = task.Quantized.Terms(task.TermSlot, 0) + token;
        var secondTerms = task.Quantized.Terms(task.TermSlot, 1) + token;
        T.StoreSums(default, sums);
        var sum = T.LoadSums(sums);
        // The lines of some units are asked for together: unit by unit, those of short ones would be asked for several times.
        var together = Math.Max(1, LinesAtOnce * CacheLine / unitBytes) * unitBytes;
        var asked = unit;
        for (var end = unit + (task.Columns / WeightPanel.BlockColumns / unitBlocks * unitBytes); unit < end; unit += unitBytes)
        {
            if (unit >= asked)
            {
                WeightAhead.Prefetch(unit, together, stride, T.Rows);
                asked += together;
            }

            if (TWeights.FactorsAreHalves)
                TWeights.Factors<TBytes>(unit, stride, new(null, factors, null, scratch));
            else
                Factors(unit, stride, factors, scratch);
            var at = factors;
            var block = 0;
            do
            {
                sum = Block(unit, stride, block, at, values, scales, terms, secondTerms, sum);
                at += WeightPanel.Rows * (TWeights.HasHalves ? 2 : 1) * (TWeights.HasMins ? 2 : 1);
                values += valuesStep;
                scales += step;
                terms += step;
                secondTerms += step;
            }
            while (!HasOneBlock && ++block < unitBlocks);
        }
        T.StoreSums(sum, sums);
    }

    // In a method of its own, since the compiler stops inlining in long ones.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Factors(byte* unit, long stride, float* factors, float* scratch) =>
        TWeights.Factors<TBytes>(unit, stride, new(null, factors, null, scratch));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSums Block(
        byte* unit, long stride, int block, float* factors, sbyte* values, float* scale, int* term, int* secondTerm, TSums sum)
    {
        // A term takes the offset of unsigned numbers off again.
        var hasTerms = !TWeights.HasMins && TWeights.Bits != PairProducts.SignedBits;
        // Multiplied before the second half is loaded: a processor with sixteen registers has room for one.
        var first = T.Multiply(TWeights.Numbers<T>(unit, stride, block, 0), values, TWeights.Bits);
        if (TWeights.HasHalves)
        {
            var product = T.Fold(first, TWeights.Bits);
            sum = T.MultiplyAdd(hasTerms ? T.AddTerm(product, *term) : product, factors, *scale, sum);
            product = T.Fold(T.Multiply(TWeights.Numbers<T>(unit, stride, block, 1), values + 16, TWeights.Bits), TWeights.Bits);
            sum = T.MultiplyAdd(hasTerms ? T.AddTerm(product, *secondTerm) : product, factors + WeightPanel.Rows, *scale, sum);
        }
        else
        {
            var second = T.Multiply(TWeights.Numbers<T>(unit, stride, block, 1), values + 16, TWeights.Bits);
            var product = T.Fold(first, second, TWeights.Bits);
            sum = T.MultiplyAdd(hasTerms ? T.AddTerm(product, *term) : product, factors, *scale, sum);
        }
        if (TWeights.HasMins)
        {
            var mins = factors + ((TWeights.HasHalves ? 2 : 1) * WeightPanel.Rows);
            sum = T.AddMins(mins, BitConverter.Int32BitsToSingle(*term), sum);
            if (TWeights.HasHalves)
                sum = T.AddMins(mins + WeightPanel.Rows, BitConverter.Int32BitsToSingle(*secondTerm), sum);
        }
        return sum;
    }
}
