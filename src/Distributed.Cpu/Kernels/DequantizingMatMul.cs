using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products of weights of any type: some columns at a time become float32 in a small buffer. It makes a new type correct at once,
/// before it has a kernel of its own.
/// </summary>
internal sealed unsafe class DequantizingMatMul<T>(QuantType type, InstructionSets needs) : MatMulKernel(type, needs)
    where T : struct, ILanes<T>
{
    public override void Run(in MatMulTask task, int firstRow, int endRow) => FloatTiles<T>.Run(task, firstRow, endRow, &Convert);

    // Blocks of all types divide the columns taken at once.
    private static void Convert(in MatMulTask task, byte* row, int column, int count, float* target)
    {
        var type = task.Kernel.Type;
        var first = row + type.RowBytes(column);
        type.Dequantize(new ReadOnlySpan<byte>(first, (int)type.RowBytes(count)), new Span<float>(target, count));
    }
}
