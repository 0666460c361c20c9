using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

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
    private const int CacheLine = 64;

    /// <summary>Above so many tokens it pays to turn rows into lanes before the products, once, instead of behind each.</summary>
    private const int FewTokens = 2;

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

    [SkipLocalsInit]
    private static void Tile(in MatMulTask task, int row, int rows, int firstToken, int tokens)
    {
        // A tile that is not full starts earlier and leaves out the rows it did not come for.
        var skipped = RowTile - rows;
        var unit = task.Weights + ((row - skipped) * task.RowBytes);
        var (rowBytes, columns, step) = (task.RowBytes, task.Columns, task.Tokens);
        var input = task.Quantized.From(firstToken);
        var sums = stackalloc float[TokenTile * RowTile];
        new Span<float>(sums, tokens * RowTile).Clear();
        RowScales scales = default;
        var ahead = unit + (RowTile * rowBytes);
        var aheadEnd = ahead;
        for (var column = 0; column < columns; column += TWeights.Type.BlockLength, unit += TWeights.Type.BlockBytes)
        {
            // Eight rows at once are more streams than the processor follows by itself, so the next eight are fetched meanwhile.
            aheadEnd += RowTile * TWeights.Type.BlockBytes;
            for (; ahead < aheadEnd; ahead += CacheLine)
                Sse.Prefetch1(ahead);
            TWeights.LoadScales(unit, rowBytes, ref scales);
            for (var part = 0; part < TWeights.Type.BlockLength / Int8Input.BlockLength; part++, input = input.From(step))
                Block(unit, rowBytes, part, input, tokens, ref scales, sums);
        }
        for (var token = 0; token < tokens; token++)
            for (var i = skipped; i < RowTile; i++)
                task.Write(firstToken + token, row - skipped + i, sums[(token * RowTile) + i]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Block(byte* unit, long rowBytes, int part, Int8Input input, int tokens, ref RowScales scales, float* sums)
    {
        var lower = unit + (4 * rowBytes);
        var w0 = TWeights.Load(unit, part);
        var w1 = TWeights.Load(unit + rowBytes, part);
        var w2 = TWeights.Load(unit + (2 * rowBytes), part);
        var w3 = TWeights.Load(unit + (3 * rowBytes), part);
        var w4 = TWeights.Load(lower, part);
        var w5 = TWeights.Load(lower + rowBytes, part);
        var w6 = TWeights.Load(lower + (2 * rowBytes), part);
        var w7 = TWeights.Load(lower + (3 * rowBytes), part);
        if (tokens <= FewTokens)
        {
            for (var token = 0; token < tokens; token++, sums += RowTile)
            {
                var x = Vector256.Load(input.Values + (token * Int8Input.BlockLength));
                var upperRows = EightRows.SumFour(Dot(w0, x), Dot(w1, x), Dot(w2, x), Dot(w3, x));
                var lowerRows = EightRows.SumFour(Dot(w4, x), Dot(w5, x), Dot(w6, x), Dot(w7, x));
                var first = Avx2.Permute2x128(upperRows, lowerRows, 0x20);
                var second = Avx2.Permute2x128(upperRows, lowerRows, 0x31);
                TWeights.Add(Vector256.Load(sums), first, second, ref scales, part, input[token]).Store(sums);
            }
            return;
        }
        EightRows.Transpose(ref w0, ref w1, ref w2, ref w3, ref w4, ref w5, ref w6, ref w7);
        var values = (int*)input.Values;
        for (var token = 0; token < tokens; token++, sums += RowTile, values += Int8Input.BlockLength / sizeof(int))
        {
            var first = Dot(w0, values[0]);
            first = Add(first, w1, values[1]);
            first = Add(first, w2, values[2]);
            first = Add(first, w3, values[3]);
            var second = Dot(w4, values[4]);
            second = Add(second, w5, values[5]);
            second = Add(second, w6, values[6]);
            second = Add(second, w7, values[7]);
            TWeights.Add(Vector256.Load(sums), first, second, ref scales, part, input[token]).Store(sums);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Dot(Vector256<byte> numbers, Vector256<sbyte> values) =>
        TDot.Add(Vector256<int>.Zero, numbers, values, TWeights.SevenBits);

    /// <summary>Four columns of eight rows times the same four values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Dot(Vector256<byte> numbers, int values) => Dot(numbers, Vector256.Create(values).AsSByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Add(Vector256<int> sum, Vector256<byte> numbers, int values) =>
        TDot.Add(sum, numbers, Vector256.Create(values).AsSByte(), TWeights.SevenBits);
}
