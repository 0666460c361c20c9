using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>The table of products: which kernel serves a type of weights with the instructions there are.</summary>
internal static class MatMulKernels
{
    /// <summary>For each type the fastest first.</summary>
    public static IReadOnlyList<MatMulKernel> All { get; } =
    [
        .. Float<F32Weights>(),
        .. AssembledHalfMatMul.Kernels,
        .. Float<F16Weights>(),
        .. Float<BF16Weights>(),
        .. Int8<Q4_0Weights>(),
        .. Int8<Q4_1Weights>(),
        .. Int8<Q5_0Weights>(),
        .. Int8<Q5_1Weights>(),
        .. Int8<Q8_0Weights>(),
        .. Int8<Q2_KWeights>(),
        .. Int8<Q3_KWeights>(),
        .. Int8<Q4_KWeights>(),
        .. Int8<Q5_KWeights>(),
        .. Int8<Q6_KWeights>(),
        .. Int8<IQ4_NLWeights>(),
        .. Int8<IQ4_XSWeights>(),
        .. Int8<MXFP4Weights>(),
    ];

    /// <summary>The best kernel for a type; one that dequantises where none is made for it.</summary>
    public static MatMulKernel Find(QuantType type, InstructionSets instructions)
    {
        foreach (var kernel in All)
            if (kernel.Type == type && (kernel.Needs & ~instructions) == 0)
                return kernel;
        return instructions switch
        {
            _ when instructions.HasFlag(InstructionSets.Avx512) => new DequantizingMatMul<Lanes512>(type, InstructionSets.Avx512),
            _ when instructions.HasFlag(InstructionSets.Avx2) => new DequantizingMatMul<Lanes256>(type, InstructionSets.Avx2),
            _ when instructions.HasFlag(InstructionSets.Vector128) => new DequantizingMatMul<Lanes128>(type, InstructionSets.Vector128),
            _ => new DequantizingMatMul<LanesScalar>(type, InstructionSets.None),
        };
    }

    private static MatMulKernel[] Float<TWeights>()
        where TWeights : struct, IFloatWeights =>
    [
        new FloatMatMul<TWeights, Lanes512>(InstructionSets.Avx512),
        new FloatMatMul<TWeights, Lanes256>(InstructionSets.Avx2),
        new FloatMatMul<TWeights, Lanes128>(InstructionSets.Vector128),
        new FloatMatMul<TWeights, LanesScalar>(InstructionSets.None),
    ];

    private static MatMulKernel[] Int8<TWeights>()
        where TWeights : struct, IInt8Weights =>
    [
        .. AssembledInt8MatMul<TWeights>.Kernels,
        new VectorInt8MatMul<TWeights, ByteLanes512, AvxVnniRowSums>(InstructionSets.Avx512),
        new VectorInt8MatMul<TWeights, ByteLanes256, AvxVnniRowSums>(InstructionSets.Avx2),
        new VectorInt8MatMul<TWeights, ByteLanes512, Avx512RowSums>(InstructionSets.Avx512),
        new VectorInt8MatMul<TWeights, ByteLanes256, Avx2RowSums>(InstructionSets.Avx2),
        new VectorInt8MatMul<TWeights, ByteLanes128, ArmRowSums>(InstructionSets.Vector128),
        new VectorInt8MatMul<TWeights, ByteLanes128, Vector128RowSums>(InstructionSets.Vector128),
        new VectorInt8MatMul<TWeights, ByteLanesScalar, ScalarRowSums>(InstructionSets.None),
    ];
}
