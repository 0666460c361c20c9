using System.Runtime.Intrinsics;
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

    /// <summary>Every set there are kernels for.</summary>
    All = Vector128 | Avx2 | AvxVnni | Avx512,
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
        | (Avx512BW.IsSupported && Avx512DQ.IsSupported && Vector512.IsHardwareAccelerated ? InstructionSets.Avx512 : 0);
}
