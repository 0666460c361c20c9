using ILGPU;
using ILGPU.Backends.OpenCL;
using ILGPU.Backends.PTX;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.Runtime.Cuda;

namespace Distributed.Gpu.Kernels;

/// <summary>Methods of kernels that are one instruction on cards with CUDA, and the code that is written on all other devices.</summary>
internal static class PtxInstruction
{
    /// <summary>Tells a context that is being built that a method is an instruction.</summary>
    /// <param name="builder">Builds the context.</param>
    /// <param name="type">Has the methods.</param>
    /// <param name="method">The method that kernels call.</param>
    /// <param name="emit">The method that writes the instruction.</param>
    /// <param name="since">The first cards that have it.</param>
    /// <param name="writtenOut">The method that takes its place with OpenCL; null where kernels do not call it there.</param>
    public static Context.Builder WithInstruction(
        this Context.Builder builder, Type type, string method, string emit, CudaArchitecture since, string? writtenOut = null)
    {
        var manager = builder.GetIntrinsicManager();
        manager.RegisterMethod(
            type.GetMethod(method)!, new PTXIntrinsic(type.GetMethod(emit)!, IntrinsicImplementationMode.GenerateCode, since));
        // ILGPU drops the body of such a method for every backend but its CPU device's.
        if (writtenOut is not null)
            manager.RegisterMethod(type.GetMethod(method)!, new CLIntrinsic(type.GetMethod(writtenOut)!, IntrinsicImplementationMode.Redirect));
        return builder;
    }

    /// <summary>Writes an instruction of three operands.</summary>
    public static void WriteThree(PTXCodeGenerator codeGenerator, Value value, string instruction)
    {
        var (a, b, c) = (
            codeGenerator.LoadPrimitive(value[0]), codeGenerator.LoadPrimitive(value[1]), codeGenerator.LoadPrimitive(value[2]));
        var target = codeGenerator.AllocateHardware(value);
        using var command = codeGenerator.BeginCommand(instruction);
        command.AppendArgument(target);
        command.AppendArgument(a);
        command.AppendArgument(b);
        command.AppendArgument(c);
    }
}
