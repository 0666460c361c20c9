using Distributed.Core;
using Distributed.Cpu.Kernels;

namespace Distributed.Cpu;

/// <summary>What <see cref="ElementwiseWork"/> does with a row.</summary>
internal enum RowOperation
{
    /// <summary>row += factor × source row.</summary>
    AddScaled,

    /// <summary>row × factor.</summary>
    Scale,

    /// <summary>factor × tanh(row / factor).</summary>
    SoftCap,
}

/// <summary>Operations value by value, split by token.</summary>
/// <param name="kernels">The kernels.</param>
/// <param name="operation">What is done.</param>
/// <param name="values">Changed in place.</param>
/// <param name="rows">Tokens.</param>
/// <param name="factor">The operation's number.</param>
/// <param name="source">The first source row; null where the operation takes none.</param>
/// <param name="stride">Values from one source row to the next; 0 when all rows take the same.</param>
internal readonly unsafe struct ElementwiseWork(
    LaneKernels kernels, RowOperation operation, Activations values, int rows, float factor, float* source = null, int stride = 0)
    : IParallelWork
{
    private readonly int _size = Cpu.Chunks.Rows(values.Columns);

    public int Chunks => Cpu.Chunks.Count(rows, _size);

    public void Run(int chunk)
    {
        for (var row = chunk * _size; row < Math.Min(rows, (chunk + 1) * _size); row++)
        {
            var target = CpuBackend.Row(values, row);
            switch (operation)
            {
                case RowOperation.AddScaled:
                    kernels.AddScaled(source + ((long)row * stride), factor, target, values.Columns);
                    break;
                case RowOperation.Scale:
                    kernels.Scale(target, factor, values.Columns);
                    break;
                default:
                    kernels.SoftCap(target, factor, values.Columns);
                    break;
            }
        }
    }
}

/// <summary>Norms runs of values, split by token.</summary>
internal readonly unsafe struct NormalizeWork(
    LaneKernels kernels, Activations input, int rows, int width, Norm norm, Activations output) : IParallelWork
{
    private readonly int _size = Cpu.Chunks.Rows(input.Columns);

    // A norm with weights of its own for each head is a matrix.
    private readonly int _weights = norm.Weight.Columns * norm.Weight.Rows;

    public int Chunks => Cpu.Chunks.Count(rows, _size);

    public void Run(int chunk)
    {
        for (var row = chunk * _size; row < Math.Min(rows, (chunk + 1) * _size); row++)
        {
            var x = CpuBackend.Row(input, row);
            var y = CpuBackend.Row(output, row);
            for (var column = 0; column < input.Columns; column += width)
                Norm(kernels, norm, column % _weights, x + column, width, y + column);
        }
    }

    /// <summary>Norms one run with the weights from <paramref name="at"/> on; <paramref name="y"/> may be <paramref name="x"/>.</summary>
    public static void Norm(LaneKernels kernels, Norm norm, int at, float* x, int count, float* y)
    {
        var weight = (float*)norm.Weight.Tensor.Data + at;
        if (norm.IsCentred)
            kernels.LayerNorm(x, weight, norm.Bias is { } bias ? (float*)bias.Tensor.Data + at : null, norm.Eps, count, y);
        else
            kernels.RmsNorm(x, weight, norm.Eps, count, y);
    }
}
