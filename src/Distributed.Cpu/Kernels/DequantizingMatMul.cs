using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products of weights of any type: some blocks at a time become float32 in a small buffer and are multiplied for up to sixteen
/// tokens. It makes a new type correct at once, before it has a kernel of its own.
/// </summary>
internal sealed unsafe class DequantizingMatMul<T>(QuantType type, InstructionSets needs) : MatMulKernel(type, needs)
    where T : struct, ILanes<T>
{
    private const int TokenTile = 16;
    private const int MostColumns = 256;

    private readonly int _columns = type.BlockLength * Math.Max(1, MostColumns / type.BlockLength);

    public override void Run(in MatMulTask task, int firstRow, int endRow)
    {
        var buffer = stackalloc float[_columns];
        for (var token = 0; token < task.Tokens; token += TokenTile)
            for (var row = firstRow; row < endRow; row++)
                Tile(task, row, token, Math.Min(TokenTile, task.Tokens - token), buffer);
    }

    [SkipLocalsInit]
    private void Tile(in MatMulTask task, int row, int firstToken, int tokens, float* buffer)
    {
        var sums = stackalloc float[TokenTile * Lanes.Count];
        new Span<float>(sums, TokenTile * Lanes.Count).Clear();
        var weights = task.Weights + (row * task.RowBytes);
        for (var column = 0; column < task.Columns; column += _columns)
        {
            var count = Math.Min(_columns, task.Columns - column);
            var bytes = (int)Type.RowBytes(count);
            Type.Dequantize(new ReadOnlySpan<byte>(weights, bytes), new Span<float>(buffer, count));
            weights += bytes;
            for (var token = 0; token < tokens; token++)
            {
                var x = task.Values + ((long)(firstToken + token) * task.Columns) + column;
                var sum = T.Load(sums + (token * Lanes.Count));
                for (var i = 0; i < count; i += Lanes.Count)
                    sum = T.MultiplyAdd(LanesMath<T>.Load(buffer + i, count - i), LanesMath<T>.Load(x + i, count - i), sum);
                T.Store(sum, sums + (token * Lanes.Count));
            }
        }
        for (var token = 0; token < tokens; token++)
            task.Write(firstToken + token, row, T.Sum(T.Load(sums + (token * Lanes.Count))));
    }
}
