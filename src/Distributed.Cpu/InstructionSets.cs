using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu;

/// <summary>The vector instructions that kernels exist for. Every choice computes the same bits from finite values; they differ in speed.</summary>
[Flags]
public enum InstructionSets
{
    /// <summary>Plain scalar code.</summary>
    None = 0,

    /// <summary>128-bit vectors of any kind: SSE, Arm's AdvSimd, WebAssembly.</summary>
    Vector128 = 1,

    /// <summary>AVX2 with FMA.</summary>
    Avx2 = 2,

    /// <summary>The eight-bit dot product on 256-bit vectors.</summary>
    AvxVnni = 4,

    /// <summary>AVX-512 F, BW, DQ and VL.</summary>
    Avx512 = 8,

    /// <summary>The eight-bit dot product on 512-bit vectors, in code assembled at run time: .NET has no intrinsics for it.</summary>
    Avx512Vnni = 16,

    /// <summary>Arm's eight-bit dot product.</summary>
    ArmDot = 32,

    /// <summary>Every set there are kernels for.</summary>
    All = Vector128 | Avx2 | AvxVnni | Avx512 | Avx512Vnni | ArmDot,
}

/// <summary>What this processor offers.</summary>
public static class Processor
{
    /// <summary>
    /// The sets that the processor has and the runtime lets through; <c>DOTNET_EnableAVX512=0</c>, <c>DOTNET_EnableAVX2=0</c> and
    /// <c>DOTNET_EnableHWIntrinsic=0</c> take some away.
    /// </summary>
    public static InstructionSets Instructions { get; } =
        (Vector128.IsHardwareAccelerated ? InstructionSets.Vector128 : 0)
        | (Avx2.IsSupported && Fma.IsSupported ? InstructionSets.Avx2 : 0)
        | (AvxVnni.IsSupported ? InstructionSets.AvxVnni : 0)
        | (HasAvx512 ? InstructionSets.Avx512 : 0)
        | (HasAvx512 && HasAvx512Vnni ? InstructionSets.Avx512Vnni : 0)
        | (Dp.IsSupported ? InstructionSets.ArmDot : 0);

    private static bool HasAvx512 => Avx512BW.IsSupported && Avx512DQ.IsSupported && Vector512.IsHardwareAccelerated;

    /// <summary>Bit 11 of ECX in leaf 7 (Intel, Software Developer's Manual, CPUID). That the system keeps the registers, <see cref="HasAvx512"/> says.</summary>
    private static bool HasAvx512Vnni => (X86Base.CpuId(7, 0).Ecx & (1 << 11)) != 0;
}
