using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// The table of products: which kernel serves a type of weights with the instructions there are. A kernel is made, and its code
/// assembled, for the first tensor of its type: all of them together would take longer than reading a small model.
/// </summary>
/// <param name="instructions">What kernels may use.</param>
internal sealed class MatMulKernels(InstructionSets instructions)
{
    private static readonly Dictionary<QuantType, Func<InstructionSets, MatMulKernel>> Makers = new()
    {
        [F32.Type] = Float<F32Weights>,
        [F16.Type] = Half,
        [BF16.Type] = Float<BF16Weights>,
        [Q4_0.Type] = Int8<Q4_0Weights>,
        [Q4_1.Type] = Int8<Q4_1Weights>,
        [Q5_0.Type] = Int8<Q5_0Weights>,
        [Q5_1.Type] = Int8<Q5_1Weights>,
        [Q8_0.Type] = Int8<Q8_0Weights>,
        [Q2_K.Type] = Int8<Q2_KWeights>,
        [Q3_K.Type] = Int8<Q3_KWeights>,
        [Q4_K.Type] = Int8<Q4_KWeights>,
        [Q5_K.Type] = Int8<Q5_KWeights>,
        [Q6_K.Type] = Int8<Q6_KWeights>,
        [IQ4_NL.Type] = Int8<IQ4_NLWeights>,
        [IQ4_XS.Type] = Int8<IQ4_XSWeights>,
        [MXFP4.Type] = Int8<MXFP4Weights>,
    };

    private readonly Dictionary<QuantType, MatMulKernel> _made = [];

    /// <summary>The best kernel for a type; one that dequantises where none is made for it.</summary>
    public MatMulKernel Find(QuantType type)
    {
        if (!_made.TryGetValue(type, out var kernel))
        {
            kernel = Makers.TryGetValue(type, out var make) ? make(instructions) : Dequantizing(type, instructions);
            _made.Add(type, kernel);
        }
        return kernel;
    }

    // In each of these the fastest comes first.
    private static MatMulKernel Float<TWeights>(InstructionSets has)
        where TWeights : struct, IFloatWeights =>
        Float<TWeights, Lanes512>(InstructionSets.Avx512, has)
        ?? Float<TWeights, Lanes256>(InstructionSets.Avx2, has)
        ?? Float<TWeights, Lanes128>(InstructionSets.Vector128, has)
        ?? (MatMulKernel)new FloatMatMul<TWeights, LanesScalar>(InstructionSets.None);

    private static MatMulKernel Half(InstructionSets has) =>
        AssembledHalfMatMul<Lanes512>.TryCreate(has)
        ?? Float<F16Weights, Lanes512>(InstructionSets.Avx512, has)
        ?? AssembledHalfMatMul<Lanes256>.TryCreate(has)
        ?? Float<F16Weights>(has);

    private static MatMulKernel Int8<TWeights>(InstructionSets has)
        where TWeights : struct, IInt8Weights =>
        AssembledInt8MatMul<TWeights>.TryCreate(has)
        ?? Int8<TWeights, ByteLanes512, RowBytes512, AvxVnniRowSums>(InstructionSets.Avx512, has)
        ?? Int8<TWeights, ByteLanes256, RowBytes256, AvxVnniRowSums>(InstructionSets.Avx2, has)
        ?? Int8<TWeights, ByteLanes512, RowBytes512, Avx512RowSums>(InstructionSets.Avx512, has)
        ?? PairSums<TWeights>(has)
        ?? Int8<TWeights, ByteLanes128, RowBytes128, ArmRowSums>(InstructionSets.Vector128, has)
        ?? Int8<TWeights, ByteLanes128, RowBytes128, Vector128RowSums>(InstructionSets.Vector128, has)
        ?? (MatMulKernel)new VectorInt8MatMul<TWeights, ByteLanesScalar, RowBytesScalar, ScalarRowSums>(InstructionSets.None);

    private static MatMulKernel Dequantizing(QuantType type, InstructionSets has) =>
        Dequantizing<Lanes512>(type, InstructionSets.Avx512, has)
        ?? Dequantizing<Lanes256>(type, InstructionSets.Avx2, has)
        ?? Dequantizing<Lanes128>(type, InstructionSets.Vector128, has)
        ?? (MatMulKernel)new DequantizingMatMul<LanesScalar>(type, InstructionSets.None);

    // One method for each kernel, so that the runtime loads no other than the one that is made.
    private static FloatMatMul<TWeights, T>? Float<TWeights, T>(InstructionSets needs, InstructionSets has)
        where TWeights : struct, IFloatWeights
        where T : struct, ILanes<T> => (needs & ~has) == 0 ? new(needs) : null;

    private static VectorInt8MatMul<TWeights, TBytes, TRows, TSums>? Int8<TWeights, TBytes, TRows, TSums>(
        InstructionSets needs, InstructionSets has)
        where TWeights : struct, IInt8Weights
        where TBytes : struct, IByteLanes<TBytes>
        where TRows : struct, IRowBytes<TRows>
        where TSums : struct, IRowSums<TSums> =>
        ((needs | TSums.Needs) & ~has) == 0 ? new(needs) : null;

    private static PairSumsMatMul<TWeights>? PairSums<TWeights>(InstructionSets has)
        where TWeights : struct, IInt8Weights => has.HasFlag(InstructionSets.Avx2) ? new() : null;

    private static DequantizingMatMul<T>? Dequantizing<T>(QuantType type, InstructionSets needs, InstructionSets has)
        where T : struct, ILanes<T> => (needs & ~has) == 0 ? new(type, needs) : null;
}
