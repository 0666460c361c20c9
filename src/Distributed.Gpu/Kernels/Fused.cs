using ILGPU;
using ILGPU.Backends.PTX;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.Runtime.Cuda;

namespace Distributed.Gpu.Kernels;

/// <summary>
/// Products that are added up where kernels must agree to the bit. A compiler may fuse either product with the addition, and need not choose
/// alike in two kernels; so the choice is made here.
/// </summary>
public static class Fused
{
    /// <summary>a × b + c, fused on cards with CUDA.</summary>
    [IntrinsicImplementation]
    public static float MultiplyAdd(float a, float b, float c) => WrittenOut(a, b, c);

    /// <summary>The same on all other devices.</summary>
    public static float WrittenOut(float a, float b, float c) => (a * b) + c;

    /// <summary>Tells a context that is being built of the instruction.</summary>
    public static Context.Builder WithFused(this Context.Builder builder) =>
        builder.WithInstruction(typeof(Fused), nameof(MultiplyAdd), nameof(EmitFma), CudaArchitecture.SM_20, nameof(WrittenOut));

    /// <summary>Writes the instruction: ILGPU calls it where a kernel calls <see cref="MultiplyAdd"/>.</summary>
    public static void EmitFma(PTXBackend backend, PTXCodeGenerator codeGenerator, Value value) =>
        PtxInstruction.WriteThree(codeGenerator, value, "fma.rn.f32");
}
