using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>Products of 32 unsigned with 32 signed bytes, four neighbours added up in each of eight lanes.</summary>
internal interface IByteDot
{
    static abstract InstructionSets Needs { get; }

    static abstract Vector256<int> Dot(Vector256<byte> numbers, Vector256<sbyte> values);
}

/// <summary>One instruction.</summary>
internal readonly struct AvxVnniDot : IByteDot
{
    public static InstructionSets Needs => InstructionSets.Avx2 | InstructionSets.AvxVnni;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Dot(Vector256<byte> numbers, Vector256<sbyte> values) =>
        AvxVnni.MultiplyWideningAndAdd(Vector256<int>.Zero, numbers, values);
}

/// <summary>Pairs are added in 16 bits, which saturate above 128 × 127 × 2; so numbers of seven bits and more go in two parts.</summary>
internal readonly struct Avx2Dot : IByteDot
{
    public static InstructionSets Needs => InstructionSets.Avx2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Dot(Vector256<byte> numbers, Vector256<sbyte> values)
    {
        var ones = Vector256.Create((short)1);
        var low = Avx2.MultiplyAddAdjacent(numbers & Vector256.Create((byte)127), values);
        var high = Avx2.MultiplyAddAdjacent(numbers & Vector256.Create((byte)128), values);
        return Avx2.MultiplyAddAdjacent(low, ones) + Avx2.MultiplyAddAdjacent(high, ones);
    }
}

/// <summary>
/// Products of quantised weights with bytes, eight rows at a time with a lane for each: a block of every row is unpacked into
/// registers once and multiplied with that block of all tokens.
/// </summary>
internal sealed unsafe class Int8MatMulAvx2<TWeights, TDot>() : MatMulKernel(TWeights.Type, TDot.Needs)
    where TWeights : struct, IInt8Weights
    where TDot : struct, IByteDot
{
    private const int RowTile = 8;
    private const int TokenTile = 64;

    private readonly Int8MatMul<TWeights> _fewRows = new(InstructionSets.None);

    public override bool TakesInt8 => true;

    public override void Run(in MatMulTask task, int firstRow, int endRow)
    {
        if (task.Rows < RowTile)
        {
            _fewRows.Run(task, firstRow, endRow);
            return;
        }
        for (var token = 0; token < task.Tokens; token += TokenTile)
            for (var row = firstRow; row < endRow; row += RowTile)
                Tile(task, row, Math.Min(RowTile, endRow - row), token, Math.Min(TokenTile, task.Tokens - token));
    }

    private static void Tile(in MatMulTask task, int row, int rows, int firstToken, int tokens)
    {
        // A tile that is not full starts earlier and leaves out the rows it did not come for.
        var skipped = RowTile - rows;
        var unit = task.Weights + ((row - skipped) * task.RowBytes);
        var sums = stackalloc float[TokenTile * RowTile];
        new Span<float>(sums, tokens * RowTile).Clear();
        var blocks = TWeights.Type.BlockLength / Int8Input.BlockLength;
        RowScales scales = default;
        for (var block = 0; block < task.Columns / Int8Input.BlockLength; unit += TWeights.Type.BlockBytes)
        {
            TWeights.LoadScales(unit, task.RowBytes, ref scales);
            for (var part = 0; part < blocks; part++, block++)
                Block(task, unit, part, ((long)block * task.Tokens) + firstToken, tokens, ref scales, sums);
        }
        for (var token = 0; token < tokens; token++)
            for (var i = skipped; i < RowTile; i++)
                task.Write(firstToken + token, row - skipped + i, sums[(token * RowTile) + i]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Block(in MatMulTask task, byte* unit, int part, long at, int tokens, ref RowScales scales, float* sums)
    {
        var stride = task.RowBytes;
        var lower = unit + (4 * stride);
        var w0 = TWeights.Load(unit, part);
        var w1 = TWeights.Load(unit + stride, part);
        var w2 = TWeights.Load(unit + (2 * stride), part);
        var w3 = TWeights.Load(unit + (3 * stride), part);
        var w4 = TWeights.Load(lower, part);
        var w5 = TWeights.Load(lower + stride, part);
        var w6 = TWeights.Load(lower + (2 * stride), part);
        var w7 = TWeights.Load(lower + (3 * stride), part);
        for (var token = 0; token < tokens; token++, at++)
        {
            var x = Vector256.Load(task.Quantized.Values + (at * Int8Input.BlockLength));
            var upperRows = Four(TDot.Dot(w0, x), TDot.Dot(w1, x), TDot.Dot(w2, x), TDot.Dot(w3, x));
            var lowerRows = Four(TDot.Dot(w4, x), TDot.Dot(w5, x), TDot.Dot(w6, x), TDot.Dot(w7, x));
            var first = Avx2.Permute2x128(upperRows, lowerRows, 0x20);
            var second = Avx2.Permute2x128(upperRows, lowerRows, 0x31);
            var input = new InputBlock(task.Quantized.Scales[at], task.Quantized.Sums[at], task.Quantized.FirstSums[at]);
            var sum = sums + (token * RowTile);
            TWeights.Add(Vector256.Load(sum), first, second, ref scales, part, input).Store(sum);
        }
    }

    /// <summary>Four rows' sums of the first 16 columns, then their sums of the last 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Four(Vector256<int> a, Vector256<int> b, Vector256<int> c, Vector256<int> d) =>
        Avx2.HorizontalAdd(Avx2.HorizontalAdd(a, b), Avx2.HorizontalAdd(c, d));
}
