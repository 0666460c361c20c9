using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// The conversions between halves and singles that AVX-512 has and .NET has no intrinsics for, in code assembled at run time. They
/// give the bits that <see cref="Halves"/> and <see cref="Half"/> give.
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

    private static void* TryAssemble(bool toSingles)
    {
        if (!Processor.Instructions.HasFlag(InstructionSets.Avx512))
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
        if (toSingles)
        {
            code.vcvtph2ps(zmm0, __ymmword_ptr[Source]);
            code.vmovups(__zmmword_ptr[Target], zmm0);
        }
        else
        {
            const byte NearestEven = 0;
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
        return ExecutableMemory.TryCreate(CodeBytes, address =>
        {
            using var bytes = new MemoryStream();
            code.Assemble(new StreamCodeWriter(bytes), (ulong)address);
            return bytes.ToArray();
        });
    }
}
