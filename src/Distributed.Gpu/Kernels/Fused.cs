using ILGPU;
using ILGPU.Backends.PTX;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.Runtime.Cuda;

namespace Distributed.Gpu.Kernels;

/// <summary>
/// Sums of two products where kernels must agree to the bit. A compiler may fuse either product with the addition, and need not choose
/// alike in two kernels; so the choice is made here.
/// </summary>
public static class Fused
{
    /// <summary>a × b + c, fused on cards with CUDA.</summary>
    [IntrinsicImplementation]
    public static float MultiplyAdd(float a, float b, float c) => (a * b) + c;

    /// <summary>Tells a context that is being built of the instruction.</summary>
    public static Context.Builder WithFused(this Context.Builder builder)
    {
        builder.GetIntrinsicManager().RegisterMethod(
            typeof(Fused).GetMethod(nameof(MultiplyAdd))!,
            new PTXIntrinsic(typeof(Fused).GetMethod(nameof(EmitFma))!, IntrinsicImplementationMode.GenerateCode, CudaArchitecture.SM_20));
        return builder;
    }

    /// <summary>Writes the instruction: ILGPU calls it where a kernel calls <see cref="MultiplyAdd"/>.</summary>
    public static void EmitFma(PTXBackend backend, PTXCodeGenerator codeGenerator, Value value)
    {
        var (a, b, c) = (
            codeGenerator.LoadPrimitive(value[0]), codeGenerator.LoadPrimitive(value[1]), codeGenerator.LoadPrimitive(value[2]));
        var target = codeGenerator.AllocateHardware(value);
        using var command = codeGenerator.BeginCommand("fma.rn.f32");
        command.AppendArgument(target);
        command.AppendArgument(a);
        command.AppendArgument(b);
        command.AppendArgument(c);
    }
}
