using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products with <c>vpdpbusd</c> on 512-bit registers, in code assembled at run time: of a panel (<see cref="PanelAssembler"/>), and of
/// few tokens or one (<see cref="FewTokensAssembler"/>, <see cref="OneTokenAssembler"/>).
/// </summary>
internal sealed unsafe class AssembledInt8MatMul<TWeights> : Int8MatMul<TWeights, ByteLanes512, RowBytes512>
    where TWeights : struct, IInt8Weights
{
    /// <summary>Tokens for which unpacking the rows with every eight takes less time than storing them in a panel for all.</summary>
    private const int MostFew = 32;

    private const InstructionSets Needed = InstructionSets.Avx512 | InstructionSets.Avx512Vnni;

    private static readonly RowBytesAssembler.Shape Shape = new(
        TWeights.Terms, TWeights.Type.BlockBytes, UnitBlocks, PanelColumns / TWeights.Type.BlockLength * TWeights.Type.BlockBytes,
        (unit, block, half) => TWeights.Numbers<RowBytesCode>((byte*)unit, 0, block, half) is var numbers
            && TWeights.Bits == PairProducts.SignedBits ? numbers ^ 128 : numbers);

    private readonly delegate* unmanaged[SuppressGCTransition]<PanelTask*, void> _multiply;

    // For so many tokens; null where it has not been assembled yet.
    private readonly nint[] _multiplyFew = new nint[FewTokensAssembler.MostTokens + 1];

    private AssembledInt8MatMul(void* panels, void* one)
        : base(Needed)
    {
        _multiply = (delegate* unmanaged[SuppressGCTransition]<PanelTask*, void>)panels;
        _multiplyFew[1] = (nint)one;
    }

    /// <summary>The kernel; null where there are not the instructions or the system refuses executable memory.</summary>
    public static AssembledInt8MatMul<TWeights>? TryCreate(InstructionSets instructions)
    {
        if ((Needed & ~instructions) != 0)
            return null;
        var panels = PanelCode.For(TWeights.Terms);
        var one = OneTokenAssembler.TryAssemble(Shape);
        return panels is null || one is null ? null : new(panels, one);
    }

    /// <inheritdoc/>
    protected override int MostAlone => MostFew;

    /// <inheritdoc/>
    protected override void Multiply(in PanelTask task)
    {
        // The code counts in the task itself.
        var counted = task;
        _multiply(&counted);
    }

    /// <inheritdoc/>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override int MultiplyAlone(in MatMulTask task, int row, int endRow)
    {
        // The fewest parts, of nearly the same size.
        var parts = (task.Tokens + FewTokensAssembler.MostTokens - 1) / FewTokensAssembler.MostTokens;
        for (var part = 0; part < parts; part++)
            if (CodeFor(((part + 1) * task.Tokens / parts) - (part * task.Tokens / parts)) is null)
                return row;
        const int blocks = PanelColumns / WeightPanel.BlockColumns;
        const int factorCount = blocks * WeightPanel.MostVectors * WeightPanel.Rows;
        var memory = stackalloc byte[((factorCount + (MostFew * WeightPanel.Rows)) * sizeof(float)) + CacheLine];
        var factors = (float*)(memory + (-(nint)memory & (CacheLine - 1)));
        var sums = factors + factorCount;
        var halves = stackalloc ushort[blocks * WeightPanel.MostHalfVectors * WeightPanel.Rows];
        var scratch = stackalloc float[2 * WeightPanel.Rows];
        var panel = new WeightPanel(null, factors, halves, scratch);
        // The rows of a step are far apart: each is a stream of its own through memory, which the next step continues.
        var step = (endRow - row) / WeightPanel.Rows;
        var few = new FewTokensTask
        {
            Stride = step * task.RowBytes,
            Factors = factors,
            ValuesStep = (long)task.Tokens * WeightPanel.BlockColumns,
            ScalesStep = (long)task.Tokens * sizeof(float),
        };
        for (var end = row + step; row < end; row++)
        {
            new Span<float>(sums, task.Tokens * WeightPanel.Rows).Clear();
            few.Unit = task.Weights + (row * task.RowBytes);
            var block = 0;
            for (var units = task.Columns / TWeights.Type.BlockLength; units > 0;)
            {
                var some = Math.Min(units, PanelColumns / TWeights.Type.BlockLength);
                UnpackFactors(few.Unit, few.Stride, some, panel);
                few.Eights = some * UnitBlocks / 8;
                few.Rest = UnitBlocks == 1 ? some % 8 : 0;
                for (var part = 0; part < parts; part++)
                {
                    var token = part * task.Tokens / parts;
                    var at = ((long)block * task.Tokens) + token;
                    var counted = few;
                    counted.Values = task.Quantized.Values + (at * WeightPanel.BlockColumns);
                    counted.Scales = task.Quantized.Scales + at;
                    counted.Terms = task.Quantized.Terms(task.TermSlot, 0) + at;
                    counted.SecondTerms = task.Quantized.Terms(task.TermSlot, 1) + at;
                    counted.Sums = sums + (token * WeightPanel.Rows);
                    CodeFor(((part + 1) * task.Tokens / parts) - token)(&counted);
                }

                units -= some;
                few.Unit += some * TWeights.Type.BlockBytes;
                block += some * UnitBlocks;
            }

            for (var token = 0; token < task.Tokens; token++)
                task.Write(token, row, step, WeightPanel.Rows, sums + (token * WeightPanel.Rows));
        }

        return row + (step * (WeightPanel.Rows - 1));
    }

    // Null where the system refuses executable memory.
    private delegate* unmanaged[SuppressGCTransition]<FewTokensTask*, void> CodeFor(int tokens)
    {
        var code = Volatile.Read(ref _multiplyFew[tokens]);
        if (code == 0)
            lock (_multiplyFew)
            {
                code = _multiplyFew[tokens];
                if (code == 0)
                    Volatile.Write(ref _multiplyFew[tokens], code = (nint)FewTokensAssembler.TryAssemble(Shape, tokens));
            }

        return (delegate* unmanaged[SuppressGCTransition]<FewTokensTask*, void>)code;
    }
}

/// <summary>The code of products of panels, assembled once for all types of weights that want the same of the input.</summary>
internal sealed unsafe class PanelCode
{
    private static readonly List<PanelCode> Assembled = [];

    private readonly InputTerms _terms;
    private readonly void* _code;

    private PanelCode(InputTerms terms)
    {
        _terms = terms;
        _code = PanelAssembler.TryAssemble(terms);
    }

    /// <summary>A function of a <see cref="PanelTask"/>*; null where the system refuses executable memory.</summary>
    public static void* For(InputTerms terms)
    {
        // The offset is in the input's terms, not in the code.
        terms = terms with { Offset = 0 };
        lock (Assembled)
        {
            var found = Assembled.Find(code => code._terms == terms);
            if (found is null)
                Assembled.Add(found = new PanelCode(terms));
            return found._code;
        }
    }
}
