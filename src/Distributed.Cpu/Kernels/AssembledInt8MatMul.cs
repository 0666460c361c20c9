namespace Distributed.Cpu.Kernels;

/// <summary>Products of a panel with <c>vpdpbusd</c> on 512-bit registers, in code assembled at run time (<see cref="PanelAssembler"/>).</summary>
internal sealed unsafe class AssembledInt8MatMul<TWeights> : Int8MatMul<TWeights, ByteLanes512>
    where TWeights : struct, IInt8Weights
{
    private readonly delegate* unmanaged[SuppressGCTransition]<PanelTask*, void> _multiply;

    private AssembledInt8MatMul(delegate* unmanaged[SuppressGCTransition]<PanelTask*, void> multiply)
        : base(InstructionSets.Avx512 | InstructionSets.Avx512Vnni) => _multiply = multiply;

    /// <summary>The kernel; none where the processor lacks the instructions or the system refuses executable memory.</summary>
    public static IReadOnlyList<MatMulKernel> Kernels { get; } = Create();

    /// <inheritdoc/>
    protected override void Multiply(ref PanelTask task)
    {
        fixed (PanelTask* pointer = &task)
            _multiply(pointer);
    }

    private static IReadOnlyList<MatMulKernel> Create()
    {
        if (!Processor.Instructions.HasFlag(InstructionSets.Avx512Vnni))
            return [];
        var code = PanelAssembler.TryAssemble(TWeights.Terms);
        return code is null ? [] : [new AssembledInt8MatMul<TWeights>((delegate* unmanaged[SuppressGCTransition]<PanelTask*, void>)code)];
    }
}
