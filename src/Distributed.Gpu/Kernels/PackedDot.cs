using ILGPU;
using ILGPU.Backends.PTX;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.Runtime.Cuda;

namespace Distributed.Gpu.Kernels;

/// <summary>
/// Products of four pairs of signed bytes in one instruction where a device has it: cards with CUDA get dp4a (PTX ISA 5.0), all other
/// devices the arithmetic written out.
/// </summary>
public static class PackedDot
{
    /// <summary>The sum of the products of four signed bytes each, and another number.</summary>
    /// <param name="a">Four bytes.</param>
    /// <param name="b">Four bytes.</param>
    /// <param name="sum">The other number.</param>
    [IntrinsicImplementation]
    public static int Add(int a, int b, int sum) => WrittenOut(a, b, sum);

    /// <summary>The same on devices without the instruction.</summary>
    public static int WrittenOut(int a, int b, int sum) =>
        sum + ((sbyte)a * (sbyte)b) + ((sbyte)(a >> 8) * (sbyte)(b >> 8)) + ((sbyte)(a >> 16) * (sbyte)(b >> 16)) + ((a >> 24) * (b >> 24));

    /// <summary>Tells a context that is being built of the instruction.</summary>
    public static Context.Builder WithPackedDot(this Context.Builder builder) =>
        builder.WithInstruction(typeof(PackedDot), nameof(Add), nameof(EmitDp4a), CudaArchitecture.SM_61, nameof(WrittenOut));

    /// <summary>Writes the instruction: ILGPU calls it where a kernel calls <see cref="Add"/>.</summary>
    public static void EmitDp4a(PTXBackend backend, PTXCodeGenerator codeGenerator, Value value) =>
        PtxInstruction.WriteThree(codeGenerator, value, "dp4a.s32.s32");
}
