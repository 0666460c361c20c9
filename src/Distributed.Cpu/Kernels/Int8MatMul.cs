using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>The blocks of a <see cref="WeightPanel"/> times those of some tokens. Assembled code knows this layout.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct PanelTask
{
    /// <summary>The panel's first block.</summary>
    public byte* Panel;

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
/// multiplied with up to 128 tokens. For each output, blocks are added one after the other:
/// sum = fma(integer product, weight scale × input scale, sum), first half before second, then sum = fma(minimum, term, sum).
/// </summary>
/// <typeparam name="TWeights">The type of the weights.</typeparam>
/// <typeparam name="TBytes">What unpacks them.</typeparam>
internal abstract unsafe class Int8MatMul<TWeights, TBytes>(InstructionSets needs) : MatMulKernel(TWeights.Type, needs)
    where TWeights : struct, IInt8Weights
    where TBytes : struct, IByteLanes<TBytes>
{
    /// <summary>Tokens whose input and sums stay in the nearer caches while the panels pass by.</summary>
    private const int TokenTile = 128;

    /// <summary>The panel's part that is unpacked at once: it stays in the nearest cache.</summary>
    private const int PanelColumns = 1024;

    private const int CacheLine = 64;

    /// <summary>With more tokens, each writes to a line of its own that is fetched before it is needed.</summary>
    private const int FewTokens = 8;

    /// <inheritdoc/>
    public override InputTerms? Terms => TWeights.Terms;

    /// <inheritdoc/>
    public override void Run(in MatMulTask task, int firstRow, int endRow)
    {
        for (var token = 0; token < task.Tokens; token += TokenTile)
            for (var row = firstRow; row < endRow; row += task.Rows < WeightPanel.Rows ? 1 : WeightPanel.Rows)
                Tile(task, row, endRow, token, Math.Min(TokenTile, task.Tokens - token));
    }

    /// <summary>Adds the products of a panel's blocks to the sums.</summary>
    protected abstract void Multiply(ref PanelTask task);

    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Tile(in MatMulTask task, int row, int endRow, int firstToken, int tokens)
    {
        // A panel past the end begins earlier and leaves out the rows it did not come for. Of fewer rows than a panel has, each is
        // taken alone, as all of its rows.
        var few = task.Rows < WeightPanel.Rows;
        var stride = few ? 0 : task.RowBytes;
        var first = few ? row : Math.Min(row, task.Rows - WeightPanel.Rows);
        var unit = task.Weights + (first * task.RowBytes);
        var blockBytes = WeightPanel.Bytes(TWeights.Terms);
        var memory = stackalloc byte[(PanelColumns / WeightPanel.BlockColumns * WeightPanel.MostBytes) + CacheLine];
        var panel = memory + (-(nint)memory & (CacheLine - 1));
        var sumMemory = stackalloc byte[(TokenTile * WeightPanel.VectorBytes) + CacheLine];
        var sums = (float*)(sumMemory + (-(nint)sumMemory & (CacheLine - 1)));
        new Span<float>(sums, tokens * WeightPanel.Rows).Clear();

        if (Sse.IsSupported && tokens > FewTokens)
            for (var token = 0; token < tokens; token++)
                Sse.Prefetch1(task.Output + ((long)(firstToken + token) * task.OutputStride) + row);
        var factors = stackalloc float[2 * WeightPanel.Rows];

        var ahead = unit + (WeightPanel.Rows * stride);
        var aheadEnd = ahead;
        for (var column = 0; column < task.Columns; column += PanelColumns)
        {
            var end = Math.Min(task.Columns, column + PanelColumns);
            var target = panel;
            for (var at = column; at < end; at += TWeights.Type.BlockLength, unit += TWeights.Type.BlockBytes)
            {
                // Sixteen rows at once are more streams than the processor follows by itself, so the next panel is fetched meanwhile.
                aheadEnd += WeightPanel.Rows * TWeights.Type.BlockBytes;
                if (Sse.IsSupported)
                    for (; ahead < aheadEnd; ahead += CacheLine)
                        Sse.Prefetch1(ahead);
                TWeights.Unpack<TBytes>(unit, stride, factors, target);
                target += TWeights.Type.BlockLength / WeightPanel.BlockColumns * blockBytes;
            }
            var block = column / WeightPanel.BlockColumns;
            var at32 = ((long)block * task.Tokens) + firstToken;
            var work = new PanelTask
            {
                Panel = panel,
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
        var rows = few ? 1 : Math.Min(WeightPanel.Rows, endRow - row);
        var skipped = few ? 0 : row - first;
        for (var token = 0; token < tokens; token++)
            task.Write(firstToken + token, row, rows, sums + (token * WeightPanel.Rows) + skipped);
    }
}
