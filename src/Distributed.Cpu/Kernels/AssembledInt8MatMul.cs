namespace Distributed.Cpu.Kernels;

/// <summary>Products of a panel with <c>vpdpbusd</c> on 512-bit registers, in code assembled at run time (<see cref="PanelAssembler"/>).</summary>
internal sealed unsafe class AssembledInt8MatMul<TWeights> : Int8MatMul<TWeights, ByteLanes512, RowBytes512>
    where TWeights : struct, IInt8Weights
{
    private const InstructionSets Needed = InstructionSets.Avx512 | InstructionSets.Avx512Vnni;

    private readonly delegate* unmanaged[SuppressGCTransition]<PanelTask*, void> _multiply;

    private AssembledInt8MatMul(void* code)
        : base(Needed) => _multiply = (delegate* unmanaged[SuppressGCTransition]<PanelTask*, void>)code;

    /// <summary>The kernel; null where there are not the instructions or the system refuses executable memory.</summary>
    public static AssembledInt8MatMul<TWeights>? TryCreate(InstructionSets instructions)
    {
        if ((Needed & ~instructions) != 0)
            return null;
        var code = PanelCode.For(TWeights.Terms);
        return code is null ? null : new(code);
    }

    /// <inheritdoc/>
    protected override void Multiply(in PanelTask task)
    {
        // The code counts in the task itself.
        var counted = task;
        _multiply(&counted);
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
