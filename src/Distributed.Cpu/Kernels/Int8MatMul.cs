using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
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
/// multiplied with up to 256 tokens. For each output, blocks are added one after the other:
/// sum = fma(integer product, weight scale × input scale, sum), first half before second, then sum = fma(minimum, term, sum).
/// </summary>
/// <typeparam name="TWeights">The type of the weights.</typeparam>
/// <typeparam name="TBytes">What unpacks them.</typeparam>
internal abstract unsafe class Int8MatMul<TWeights, TBytes>(InstructionSets needs) : MatMulKernel(TWeights.Type, needs)
    where TWeights : struct, IInt8Weights
    where TBytes : struct, IByteLanes<TBytes>
{
    /// <summary>Tokens whose input and sums stay in the nearer caches while the panels pass by.</summary>
    private const int TokenTile = 256;

    /// <summary>The panel's part that is unpacked at once: it stays in the nearest cache.</summary>
    private const int PanelColumns = 1024;

    private const int CacheLine = 64;

    /// <summary>How far ahead in its row weights are fetched.</summary>
    private const int BytesAhead = 320;

    /// <summary>With more tokens, each writes to a line of its own that is fetched before it is needed.</summary>
    private const int FewTokens = 8;

    /// <inheritdoc/>
    public override InputTerms? Terms => TWeights.Terms;

    /// <inheritdoc/>
    public override void Run(in MatMulTask task, int firstRow, int endRow)
    {
        var row = firstRow;
        if (task.Tokens <= FewTokens && task.Rows >= WeightPanel.Rows)
        {
            // A panel's rows are far apart: each is a stream of its own through memory, which the next panel continues. Sixteen such
            // streams, fetched ahead by the processor and by Tile, are faster than one.
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

    /// <summary>Adds the products of a panel's blocks to the sums.</summary>
    protected abstract void Multiply(ref PanelTask task);

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
        var ahead = unit;
        for (var column = 0; column < task.Columns; column += PanelColumns)
        {
            var end = Math.Min(task.Columns, column + PanelColumns);
            var part = 0;
            for (var at = column; at < end; at += TWeights.Type.BlockLength, unit += TWeights.Type.BlockBytes)
            {
                // The processor follows sixteen streams, but what it fetches by itself comes late.
                if (Sse.IsSupported)
                    for (; ahead < unit + TWeights.Type.BlockBytes + BytesAhead; ahead += CacheLine)
                        for (var i = 0; i < WeightPanel.Rows; i++)
                            Sse.Prefetch1(ahead + (i * stride));
                TWeights.Unpack<TBytes>(unit, stride, panel.From(part, TWeights.Terms));
                part += TWeights.Type.BlockLength / WeightPanel.BlockColumns;
            }
            if (TWeights.FactorsAreHalves)
                TBytes.ToSingles(halves, factors, part * TWeights.Terms.Vectors * WeightPanel.Rows);
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
            Multiply(ref work);
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
}
