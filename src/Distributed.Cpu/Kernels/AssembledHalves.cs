using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// The conversions between halves and singles that processors have and .NET has no intrinsics for, in code assembled at run time, with
/// registers of 512 or 256 bits. They give the bits that <see cref="Halves"/> and <see cref="Half"/> give.
/// </summary>
internal static unsafe class AssembledHalves
{
    private const int CodeBytes = 256;

    // No argument is passed in these, except for the count on Windows.
    private static readonly AssemblerRegister64 Source = rax;
    private static readonly AssemblerRegister64 Target = r9;
    private static readonly AssemblerRegister64 Count = r8;

    /// <summary>
    /// Source, target, and a count that is rounded up to a multiple of sixteen. Null where the processor lacks the instructions or
    /// the system refuses executable memory.
    /// </summary>
    public static delegate* unmanaged[SuppressGCTransition]<ushort*, float*, nint, void> ToSingles { get; } =
        (delegate* unmanaged[SuppressGCTransition]<ushort*, float*, nint, void>)TryAssemble(toSingles: true);

    /// <summary>The other way, to the nearest half, ties to even; null as above.</summary>
    public static delegate* unmanaged[SuppressGCTransition]<float*, ushort*, nint, void> ToHalves { get; } =
        (delegate* unmanaged[SuppressGCTransition]<float*, ushort*, nint, void>)TryAssemble(toSingles: false);

    /// <summary>F16C: bit 29 of ECX in leaf 1 (Intel, Software Developer's Manual, CPUID).</summary>
    public static bool HasConversions => (X86Base.CpuId(1, 0).Ecx & (1 << 29)) != 0;

    private static void* TryAssemble(bool toSingles)
    {
        var wide = Processor.Instructions.HasFlag(InstructionSets.Avx512);
        if (!wide && !(Processor.Instructions.HasFlag(InstructionSets.Avx2) && HasConversions))
            return null;
        var code = new Assembler(64);
        var isWindows = OperatingSystem.IsWindows();
        code.mov(Source, isWindows ? rcx : rdi);
        code.mov(Target, isWindows ? rdx : rsi);
        if (!isWindows)
            code.mov(Count, rdx);
        var next = code.CreateLabel();
        var end = code.CreateLabel();
        code.test(Count, Count);
        code.jle(end);
        code.Label(ref next);
        const byte NearestEven = 0;
        if (!wide && toSingles)
        {
            code.vcvtph2ps(ymm0, __xmmword_ptr[Source]);
            code.vcvtph2ps(ymm1, __xmmword_ptr[Source + 16]);
            code.vmovups(__ymmword_ptr[Target], ymm0);
            code.vmovups(__ymmword_ptr[Target + 32], ymm1);
        }
        else if (!wide)
        {
            code.vmovups(ymm0, __ymmword_ptr[Source]);
            code.vmovups(ymm1, __ymmword_ptr[Source + 32]);
            code.vcvtps2ph(__xmmword_ptr[Target], ymm0, NearestEven);
            code.vcvtps2ph(__xmmword_ptr[Target + 16], ymm1, NearestEven);
        }
        else if (toSingles)
        {
            code.vcvtph2ps(zmm0, __ymmword_ptr[Source]);
            code.vmovups(__zmmword_ptr[Target], zmm0);
        }
        else
        {
            code.vmovups(zmm0, __zmmword_ptr[Source]);
            code.vcvtps2ph(__ymmword_ptr[Target], zmm0, NearestEven);
        }
        code.add(Source, Lanes.Count * (toSingles ? sizeof(ushort) : sizeof(float)));
        code.add(Target, Lanes.Count * (toSingles ? sizeof(float) : sizeof(ushort)));
        code.sub(Count, Lanes.Count);
        code.jg(next);
        code.Label(ref end);
        code.vzeroupper();
        code.ret();
        return ExecutableMemory.TryCreate(CodeBytes, code);
    }
}
