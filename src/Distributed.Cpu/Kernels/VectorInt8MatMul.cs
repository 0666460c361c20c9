using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>Products of a panel in vectors of one width.</summary>
internal sealed unsafe class VectorInt8MatMul<TWeights, TBytes, TRows, TSums>(InstructionSets needs)
    : Int8MatMul<TWeights, TBytes, TRows>(needs | TSums.Needs)
    where TWeights : struct, IInt8Weights
    where TBytes : struct, IByteLanes<TBytes>
    where TRows : struct, IRowBytes<TRows>
    where TSums : struct, IRowSums<TSums>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Multiply(in PanelTask task)
    {
        var numbers = task.Numbers;
        var factors = task.Factors;
        var values = task.Values;
        var scales = task.Scales;
        var terms = task.Terms;
        var secondTerms = task.SecondTerms;
        for (var block = 0; block < task.Blocks; block++)
        {
            for (var row = 0; row < WeightPanel.Rows; row += TSums.Rows)
                for (var token = 0; token < task.Tokens; token++)
                {
                    Block(
                        numbers + (row * sizeof(float)), factors + row, values + (token * WeightPanel.BlockColumns), scales[token], terms[token],
                        TWeights.HasHalves ? secondTerms[token] : 0, task.Sums + (token * WeightPanel.Rows) + row);
                }
            numbers += WeightPanel.BlockBytes;
            factors += (TWeights.HasHalves ? 2 : 1) * (TWeights.HasMins ? 2 : 1) * WeightPanel.Rows;
            values += task.ValuesStep;
            scales = (float*)((byte*)scales + task.ScalesStep);
            terms = (int*)((byte*)terms + task.ScalesStep);
            secondTerms = (int*)((byte*)secondTerms + task.ScalesStep);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Block(byte* numbers, float* factors, sbyte* values, float scale, int term, int secondTerm, float* target)
    {
        var sevenBits = TWeights.Bits < PairProducts.SignedBits;
        var first = TSums.Create(TWeights.HasMins ? 0 : term);
        first = TSums.Add(first, numbers, values, sevenBits);
        first = TSums.Add(first, numbers + 64, values + 4, sevenBits);
        first = TSums.Add(first, numbers + 128, values + 8, sevenBits);
        first = TSums.Add(first, numbers + 192, values + 12, sevenBits);
        var second = TWeights.HasHalves ? TSums.Create(TWeights.HasMins ? 0 : secondTerm) : first;
        second = TSums.Add(second, numbers + 256, values + 16, sevenBits);
        second = TSums.Add(second, numbers + 320, values + 20, sevenBits);
        second = TSums.Add(second, numbers + 384, values + 24, sevenBits);
        second = TSums.Add(second, numbers + 448, values + 28, sevenBits);
        if (TWeights.HasHalves)
        {
            TSums.MultiplyAdd(first, factors, scale, target);
            TSums.MultiplyAdd(second, factors + WeightPanel.Rows, scale, target);
        }
        else
        {
            TSums.MultiplyAdd(second, factors, scale, target);
        }
        if (!TWeights.HasMins)
            return;
        var mins = factors + ((TWeights.HasHalves ? 2 : 1) * WeightPanel.Rows);
        TSums.AddMins(mins, BitConverter.Int32BitsToSingle(term), target);
        if (TWeights.HasHalves)
            TSums.AddMins(mins + WeightPanel.Rows, BitConverter.Int32BitsToSingle(secondTerm), target);
    }
}
