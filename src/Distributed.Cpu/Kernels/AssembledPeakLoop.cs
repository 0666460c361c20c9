using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>The loop of <c>vpdpbusd</c> on 512-bit registers, assembled at run time as the kernels are that use it.</summary>
internal static unsafe class AssembledPeakLoop
{
    private const int CodeBytes = 1 << 10;

    // None that Windows wants back.
    private static readonly AssemblerRegisterZMM[] Sums =
        [zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27];

    /// <summary>The loop; none where the processor lacks the instructions or the system refuses executable memory.</summary>
    public static IReadOnlyList<PeakLoop> Loops { get; } = Create();

    private static IReadOnlyList<PeakLoop> Create()
    {
        if (!Processor.Instructions.HasFlag(InstructionSets.Avx512Vnni))
            return [];
        var code = (delegate* unmanaged<int, void>)ExecutableMemory.TryCreate(CodeBytes, Assemble());
        return code is null
            ? []
            : [new(InstructionSets.Avx512 | InstructionSets.Avx512Vnni, PeakLoops.Operations(64), turns => code(turns))];
    }

    private static Assembler Assemble()
    {
        var code = new Assembler(64);
        var turns = OperatingSystem.IsWindows() ? ecx : edi;
        var next = code.CreateLabel();
        code.mov(eax, PeakLoops.Operand);
        code.vpbroadcastd(zmm28, eax);
        code.Label(ref next);
        foreach (var sum in Sums)
            code.vpdpbusd(sum, zmm28, zmm28);
        code.dec(turns);
        code.jnz(next);
        code.ret();
        return code;
    }
}
