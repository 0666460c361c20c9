using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>The blocks of a <see cref="WeightPanel"/> times those of some tokens. Assembled code knows this layout.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct PanelTask
{
    /// <summary>The panel's numbers from the first block on.</summary>
    public byte* Numbers;

    /// <summary>The panel's factors from the first block on.</summary>
    public float* Factors;

    /// <summary>[blocks][tokens of the input][32]</summary>
    public sbyte* Values;

    /// <summary>[blocks][tokens of the input]</summary>
    public float* Scales;

    /// <summary>[blocks][tokens of the input]; see <see cref="InputTerms"/>.</summary>
    public int* Terms;

    /// <summary>The second term, with halves.</summary>
    public int* SecondTerms;

    /// <summary>[tokens][16 rows]: what is added to.</summary>
    public float* Sums;

    /// <summary>Blocks of the panel.</summary>
    public long Blocks;

    /// <summary>Tokens to multiply.</summary>
    public long Tokens;

    /// <summary>Bytes from a block's values to the next's.</summary>
    public long ValuesStep;

    /// <summary>Bytes from a block's scales, and terms, to the next's.</summary>
    public long ScalesStep;
}

/// <summary>
/// Products of quantised weights with bytes. Sixteen rows are unpacked into a panel, some blocks at a time, and the panel is
/// multiplied with up to 256 tokens; few are multiplied while they are unpacked, where there are registers for that
/// (<see cref="MultiplyAlone"/>). For each output, blocks are added one after the other:
/// sum = fma(integer product, weight scale × input scale, sum), first half before second, then sum = fma(minimum, term, sum).
/// </summary>
/// <typeparam name="TWeights">The type of the weights.</typeparam>
/// <typeparam name="TBytes">What unpacks their factors.</typeparam>
/// <typeparam name="TRows">What unpacks their numbers.</typeparam>
internal abstract unsafe class Int8MatMul<TWeights, TBytes, TRows>(InstructionSets needs) : MatMulKernel(TWeights.Type, needs)
    where TWeights : struct, IInt8Weights
    where TBytes : struct, IByteLanes<TBytes>
    where TRows : struct, IRowBytes<TRows>
{
    /// <summary>Tokens whose input and sums stay in the nearer caches while the panels pass by.</summary>
    private const int TokenTile = 256;

    /// <summary>The panel's part that is unpacked at once: it stays in the nearest cache.</summary>
    protected const int PanelColumns = 1024;

    protected const int CacheLine = 64;

    /// <summary>With more tokens, each writes to a line of its own that is fetched before it is needed.</summary>
    private const int FewTokens = 8;

    /// <summary>
    /// Tokens that are multiplied without a panel. With AVX2, unpacking one takes as long as some three tokens do, which unpack the rows
    /// for themselves.
    /// </summary>
    protected virtual int MostAlone => typeof(TRows) == typeof(RowBytes256) ? 3 : 1;

    /// <inheritdoc/>
    public override InputTerms? Terms => TWeights.Terms;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Run(in MatMulTask task, int firstRow, int endRow)
    {
        var row = firstRow;
        if (task.Tokens <= MostAlone)
            row = MultiplyAlone(task, row, endRow);
        else if (task.Tokens <= FewTokens && task.Rows >= WeightPanel.Rows)
        {
            // A panel's rows are far apart: each is a stream of its own through memory, which the next panel continues. Sixteen such
            // streams, fetched ahead by the processor and by Unpack, are faster than one.
            var step = (endRow - firstRow) / WeightPanel.Rows;
            for (var i = 0; i < step; i++)
                Tile(task, row + i, step, 0, WeightPanel.Rows, 0, task.Tokens);
            row += step * WeightPanel.Rows;
        }
        for (var token = 0; token < task.Tokens; token += TokenTile)
            for (var first = row; first < endRow;)
            {
                // A panel past the end begins earlier and leaves out the rows it did not come for. Of fewer rows than a panel has,
                // each is taken alone, as all of its rows.
                var rows = task.Rows < WeightPanel.Rows ? 1 : Math.Min(WeightPanel.Rows, endRow - first);
                var skipped = task.Rows < WeightPanel.Rows ? 0 : Math.Max(0, first + WeightPanel.Rows - task.Rows);
                var tokens = Math.Min(TokenTile, task.Tokens - token);
                Tile(task, first - skipped, task.Rows < WeightPanel.Rows ? 0 : 1, skipped, rows, token, tokens);
                first += rows;
            }
    }

    /// <summary>The blocks of a unit.</summary>
    protected static int UnitBlocks => TWeights.Type.BlockLength / WeightPanel.BlockColumns;

    /// <summary>Multiplies rows with tokens without a panel; gives the first row that is left, as many as it cannot do.</summary>
    protected virtual int MultiplyAlone(in MatMulTask task, int row, int endRow) =>
        MultiplyOne is null ? row : MultiplyOne(task, row, endRow);

    /// <summary><see cref="OneTokenMatMul{TWeights,TBytes,T,TSums}.Run"/>; null where there are no registers for it.</summary>
    private static delegate*<in MatMulTask, int, int, int> MultiplyOne =>
        typeof(TRows) == typeof(RowBytes256) ? &OneTokenMatMul<TWeights, ByteLanes256, RowBytes256, Vector256<float>>.Run
        : typeof(TRows) == typeof(RowBytes512) ? &OneTokenMatMul<TWeights, ByteLanes512, RowBytes512, Vector512<float>>.Run
        : null;

    /// <summary>Adds the products of a panel's blocks, of which there is at least one, to the sums.</summary>
    protected abstract void Multiply(in PanelTask task);

    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Tile(in MatMulTask task, int row, int rowStep, int skipped, int rows, int firstToken, int tokens)
    {
        var stride = rowStep * task.RowBytes;
        var unit = task.Weights + (row * task.RowBytes);
        const int blocks = PanelColumns / WeightPanel.BlockColumns;
        const int factorCount = blocks * WeightPanel.MostVectors * WeightPanel.Rows;
        const int sumCount = TokenTile * WeightPanel.Rows;
        var memory = stackalloc byte[(blocks * WeightPanel.BlockBytes) + ((factorCount + sumCount) * sizeof(float)) + CacheLine];
        var numbers = memory + (-(nint)memory & (CacheLine - 1));
        var factors = (float*)(numbers + (blocks * WeightPanel.BlockBytes));
        var sums = factors + factorCount;
        var halves = stackalloc ushort[blocks * WeightPanel.MostHalfVectors * WeightPanel.Rows];
        var scratch = stackalloc float[2 * WeightPanel.Rows];
        var panel = new WeightPanel(numbers, factors, halves, scratch);
        new Span<float>(sums, tokens * WeightPanel.Rows).Clear();

        if (Sse.IsSupported && tokens > FewTokens)
            for (var token = 0; token < tokens; token++)
                Sse.Prefetch1(task.Output + ((long)(firstToken + token) * task.OutputStride) + row);
        for (var column = 0; column < task.Columns; column += PanelColumns)
        {
            var end = Math.Min(task.Columns, column + PanelColumns);
            var units = (end - column) / TWeights.Type.BlockLength;
            // Registers load more rows than one, which lie apart.
            if (stride == 0)
                Unpack<ByteLanesScalar, RowBytesScalar>(unit, stride, units, panel, ahead: false);
            else
                Unpack<TBytes, TRows>(unit, stride, units, panel, ahead: tokens > FewTokens);
            ToSingles(units, panel);
            var block = column / WeightPanel.BlockColumns;
            var at32 = ((long)block * task.Tokens) + firstToken;
            var work = new PanelTask
            {
                Numbers = panel.Numbers,
                Factors = factors,
                Values = task.Quantized.Values + (at32 * Int8Input.BlockLength),
                Scales = task.Quantized.Scales + at32,
                Terms = task.Quantized.Terms(task.TermSlot, 0) + at32,
                SecondTerms = task.Quantized.Terms(task.TermSlot, 1) + at32,
                Sums = sums,
                Blocks = (end - column) / WeightPanel.BlockColumns,
                Tokens = tokens,
                ValuesStep = (long)task.Tokens * Int8Input.BlockLength,
                ScalesStep = (long)task.Tokens * sizeof(float),
            };
            unit += units * TWeights.Type.BlockBytes;
            if (tokens <= FewTokens && stride > 0)
                MultiplyAndFetch(work, unit, stride, units * TWeights.Type.BlockBytes);
            else
                Multiply(work);
        }
        for (var token = 0; token < tokens; token++)
        {
            var values = sums + (token * WeightPanel.Rows) + skipped;
            if (rowStep == 1 && rows == WeightPanel.Rows)
                task.Write(firstToken + token, row, values);
            else
                task.Write(firstToken + token, row + skipped, Math.Max(1, rowStep), rows, values);
        }
    }

    /// <summary>Asks for the next part of the rows, <paramref name="next"/>, while this one is multiplied.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyAndFetch(PanelTask work, byte* next, long stride, long bytes)
    {
        const int slices = 8;
        var blocks = work.Blocks;
        for (var i = 0; i < slices; i++)
        {
            work.Blocks = ((i + 1) * blocks / slices) - (i * blocks / slices);
            for (var line = next + (i * bytes / slices); line < next + ((i + 1) * bytes / slices); line += CacheLine)
                for (var row = 0; row < WeightPanel.Rows; row += 8)
                    WeightAhead.Prefetch(line + (row * stride), stride);
            if (work.Blocks > 0)
                Multiply(work);
            work.Numbers += work.Blocks * WeightPanel.BlockBytes;
            work.Factors += work.Blocks * TWeights.Terms.Vectors * WeightPanel.Rows;
            work.Values += work.Blocks * work.ValuesStep;
            work.Scales = (float*)((byte*)work.Scales + (work.Blocks * work.ScalesStep));
            work.Terms = (int*)((byte*)work.Terms + (work.Blocks * work.ScalesStep));
            work.SecondTerms = (int*)((byte*)work.SecondTerms + (work.Blocks * work.ScalesStep));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Unpack<TFactors, TNumbers>(byte* unit, long stride, int units, WeightPanel panel, bool ahead)
        where TFactors : struct, IByteLanes<TFactors>
        where TNumbers : struct, IRowBytes<TNumbers>
    {
        for (var row = 0; row < WeightPanel.Rows; row += TFactors.Rows)
            Factors<TFactors>(unit + (row * stride), stride, units, panel.FromRow(row));
        for (var row = 0; row < WeightPanel.Rows; row += TNumbers.Rows)
            Numbers<TNumbers>(unit + (row * stride), stride, units, panel.FromRow(row).Numbers, ahead);
    }

    /// <summary>Unpacks the factors of some units of a panel's rows.</summary>
    protected static void UnpackFactors(byte* unit, long stride, int units, WeightPanel panel)
    {
        for (var row = 0; row < WeightPanel.Rows; row += TBytes.Rows)
            Factors<TBytes>(unit + (row * stride), stride, units, panel.FromRow(row));
        ToSingles(units, panel);
    }

    private static void ToSingles(int units, WeightPanel panel)
    {
        if (TWeights.FactorsAreHalves)
            TBytes.ToSingles(panel.Halves, panel.Factors, units * UnitBlocks * TWeights.Terms.Vectors * WeightPanel.Rows);
    }

    // In methods of their own, since the compiler stops inlining in long ones.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Factors<T>(byte* unit, long stride, int units, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var bytes = TWeights.Type.BlockBytes;
        var step = UnitBlocks * TWeights.Terms.Vectors;
        if (typeof(T) == typeof(ByteLanes512) && TWeights.Type.BlockBytes == FirstHalves.UnitBytes && TWeights.FactorsAreHalves)
            for (; units >= FirstHalves.Units; units -= FirstHalves.Units, unit += FirstHalves.Units * bytes, panel = panel.From(FirstHalves.Units, step))
                FirstHalves.Store(unit, stride, panel.Halves);
        for (; units > 0; units--, unit += bytes, panel = panel.From(1, step))
            TWeights.Factors<T>(unit, stride, panel);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Numbers<T>(byte* unit, long stride, int units, byte* target, bool ahead)
        where T : struct, IRowBytes<T>
    {
        var bytes = TWeights.Type.BlockBytes;
        var unitBlocks = UnitBlocks;
        for (; units > 0; units--, unit += bytes)
        {
            if (T.Rows >= 8 && ahead)
                WeightAhead.Prefetch(unit, bytes, stride, T.Rows);
            for (var block = 0; block < unitBlocks; block++, target += WeightPanel.BlockBytes)
            {
                Store(TWeights.Numbers<T>(unit, stride, block, 0), target);
                Store(TWeights.Numbers<T>(unit, stride, block, 1), target + (WeightPanel.BlockBytes / 2));
            }
        }
    }

    // Signed bytes raised by 128 are unsigned ones.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T numbers, byte* target)
        where T : struct, IRowBytes<T> => T.Store(TWeights.Bits == PairProducts.SignedBits ? numbers ^ 128 : numbers, target);
}
