using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products with <c>vpdpbusd</c> on 512-bit registers, in code assembled at run time: of a panel (<see cref="PanelAssembler"/>), and of
/// a token alone (<see cref="OneTokenAssembler"/>).
/// </summary>
internal sealed unsafe class AssembledInt8MatMul<TWeights> : Int8MatMul<TWeights, ByteLanes512, RowBytes512>
    where TWeights : struct, IInt8Weights
{
    private const InstructionSets Needed = InstructionSets.Avx512 | InstructionSets.Avx512Vnni;

    private readonly delegate* unmanaged[SuppressGCTransition]<PanelTask*, void> _multiply;
    private readonly delegate* unmanaged[SuppressGCTransition]<OneTokenTask*, void> _multiplyOne;

    private AssembledInt8MatMul(void* panels, void* one)
        : base(Needed)
    {
        _multiply = (delegate* unmanaged[SuppressGCTransition]<PanelTask*, void>)panels;
        _multiplyOne = (delegate* unmanaged[SuppressGCTransition]<OneTokenTask*, void>)one;
    }

    /// <summary>The kernel; null where there are not the instructions or the system refuses executable memory.</summary>
    public static AssembledInt8MatMul<TWeights>? TryCreate(InstructionSets instructions)
    {
        if ((Needed & ~instructions) != 0)
            return null;
        var panels = PanelCode.For(TWeights.Terms);
        var one = OneTokenAssembler.TryAssemble(new OneTokenAssembler.Shape(
            TWeights.Terms, TWeights.Type.BlockBytes, UnitBlocks, PanelColumns / TWeights.Type.BlockLength * TWeights.Type.BlockBytes,
            (unit, block, half) => TWeights.Numbers<RowBytesCode>((byte*)unit, 0, block, half) is var numbers
                && TWeights.Bits == PairProducts.SignedBits ? numbers ^ 128 : numbers));
        return panels is null || one is null ? null : new(panels, one);
    }

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
        const int blocks = PanelColumns / WeightPanel.BlockColumns;
        const int factorCount = blocks * WeightPanel.MostVectors * WeightPanel.Rows;
        var memory = stackalloc byte[((factorCount + WeightPanel.Rows) * sizeof(float)) + CacheLine];
        var factors = (float*)(memory + (-(nint)memory & (CacheLine - 1)));
        var sums = factors + factorCount;
        var halves = stackalloc ushort[blocks * WeightPanel.MostHalfVectors * WeightPanel.Rows];
        var scratch = stackalloc float[2 * WeightPanel.Rows];
        var panel = new WeightPanel(null, factors, halves, scratch);
        // The rows of a step are far apart: each is a stream of its own through memory, which the next step continues.
        var step = (endRow - row) / WeightPanel.Rows;
        var one = new OneTokenTask
        {
            Stride = step * task.RowBytes,
            Factors = factors,
            Sums = sums,
            ValuesStep = (long)task.Tokens * WeightPanel.BlockColumns,
            ScalesStep = (long)task.Tokens * sizeof(float),
        };
        for (var end = row + step; row < end; row++)
            for (var token = 0; token < task.Tokens; token++)
            {
                new Span<float>(sums, WeightPanel.Rows).Clear();
                one.Unit = task.Weights + (row * task.RowBytes);
                one.Values = task.Quantized.Values + (token * WeightPanel.BlockColumns);
                one.Scales = task.Quantized.Scales + token;
                one.Terms = task.Quantized.Terms(task.TermSlot, 0) + token;
                one.SecondTerms = task.Quantized.Terms(task.TermSlot, 1) + token;
                for (var units = task.Columns / TWeights.Type.BlockLength; units > 0;)
                {
                    var some = Math.Min(units, PanelColumns / TWeights.Type.BlockLength);
                    UnpackFactors(one.Unit, one.Stride, some, panel);
                    one.Eights = some * UnitBlocks / 8;
                    one.Rest = UnitBlocks == 1 ? some % 8 : 0;
                    var counted = one;
                    _multiplyOne(&counted);
                    units -= some;
                    one.Unit += some * TWeights.Type.BlockBytes;
                    one.Values += some * UnitBlocks * one.ValuesStep;
                    one.Scales += some * UnitBlocks * task.Tokens;
                    one.Terms += some * UnitBlocks * task.Tokens;
                    one.SecondTerms += some * UnitBlocks * task.Tokens;
                }

                task.Write(token, row, step, WeightPanel.Rows, sums);
            }

        return row + (step * (WeightPanel.Rows - 1));
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
