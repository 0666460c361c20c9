using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Cpu.Kernels;

/// <summary>Products of quantised weights with bytes, a row and a block at a time: the scalar twin, with 128-bit vectors where there are any.</summary>
internal sealed unsafe class Int8MatMul<TWeights>(InstructionSets needs) : MatMulKernel(TWeights.Type, needs)
    where TWeights : struct, IInt8Weights
{
    private const int TokenTile = 64;

    private readonly bool _vectors = needs.HasFlag(InstructionSets.Vector128);

    public override bool TakesInt8 => true;

    public override void Run(in MatMulTask task, int firstRow, int endRow)
    {
        for (var token = 0; token < task.Tokens; token += TokenTile)
            for (var row = firstRow; row < endRow; row++)
                Tile(task, row, token, Math.Min(TokenTile, task.Tokens - token));
    }

    [SkipLocalsInit]
    private void Tile(in MatMulTask task, int row, int firstToken, int tokens)
    {
        var sums = stackalloc float[TokenTile];
        new Span<float>(sums, tokens).Clear();
        var numbers = stackalloc byte[Int8Input.BlockLength];
        var unit = task.Weights + (row * task.RowBytes);
        var blocks = TWeights.Type.BlockLength / Int8Input.BlockLength;
        var input = task.Quantized.From(firstToken);
        for (var block = 0; block < task.Columns / Int8Input.BlockLength; block++, input = input.From(task.Tokens))
        {
            var part = block % blocks;
            if (block > 0 && part == 0)
                unit += TWeights.Type.BlockBytes;
            TWeights.Unpack(unit, part, numbers);
            for (var token = 0; token < tokens; token++)
            {
                var values = input.Values + (token * Int8Input.BlockLength);
                var first = _vectors ? VectorDot(numbers, values) : Dot(numbers, values);
                var second = _vectors ? VectorDot(numbers + 16, values + 16) : Dot(numbers + 16, values + 16);
                sums[token] = TWeights.Add(sums[token], first, second, unit, part, input[token]);
            }
        }
        for (var token = 0; token < tokens; token++)
            task.Write(firstToken + token, row, sums[token]);
    }

    private static int Dot(byte* numbers, sbyte* values)
    {
        var sum = 0;
        for (var i = 0; i < 16; i++)
            sum += numbers[i] * values[i];
        return sum;
    }

    private static int VectorDot(byte* numbers, sbyte* values)
    {
        // A product of an unsigned and a signed byte fits 16 bits: 255 × −128 = −32640.
        var (n0, n1) = Vector128.Widen(Vector128.Load(numbers));
        var (v0, v1) = Vector128.Widen(Vector128.Load(values));
        var (a, b) = Vector128.Widen(n0.AsInt16() * v0);
        var (c, d) = Vector128.Widen(n1.AsInt16() * v1);
        return Vector128.Sum(a + b + c + d);
    }
}
