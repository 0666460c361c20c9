using Distributed.Cpu.Kernels;

namespace Distributed.Cpu.Tests;

/// <summary>The lanes that kernels are written in.</summary>
public unsafe class LanesTests
{
    [Fact]
    public void Every_half_becomes_its_single()
    {
        HalvesWith<LanesScalar>(InstructionSets.None);
        HalvesWith<Lanes128>(InstructionSets.Vector128);
        HalvesWith<Lanes256>(InstructionSets.Avx2);
        HalvesWith<Lanes512>(InstructionSets.Avx512);
    }

    [AssembledFact]
    public void Assembled_conversions_give_the_bits_of_the_others()
    {
        const int Count = 1 << 16;
        var halves = new ushort[Count];
        var singles = new float[Count];
        for (var i = 0; i < Count; i++)
            halves[i] = (ushort)i;
        fixed (ushort* source = halves)
        fixed (float* target = singles)
            AssembledHalves.ToSingles(source, target, Count);
        for (var i = 0; i < Count; i++)
            Assert.Equal(BitConverter.SingleToInt32Bits(Halves.ToSingle(halves[i])), BitConverter.SingleToInt32Bits(singles[i]));

        // Halves, what lies in the middle between two of them, and what lies beside that.
        for (var step = -1; step <= 1; step++)
        {
            var near = Enumerable.Range(0, Count).Where(i => (i & 0x7C00) != 0x7C00).Select(i => BitConverter.UInt32BitsToSingle(
                (uint)(BitConverter.SingleToInt32Bits(Halves.ToSingle((ushort)i)) + 0x1000 + step))).Append(1e-30f).Append(-1e30f).ToArray();
            Array.Resize(ref near, Count);
            fixed (float* source = near)
            fixed (ushort* target = halves)
                AssembledHalves.ToHalves(source, target, Count);
            for (var i = 0; i < Count; i++)
                Assert.Equal(BitConverter.HalfToUInt16Bits((Half)near[i]), halves[i]);
        }
    }

    [Fact]
    public void Powers_of_two_are_right_to_the_last_digit_or_two()
    {
        PowersWith<LanesScalar>(InstructionSets.None);
        PowersWith<Lanes128>(InstructionSets.Vector128);
        PowersWith<Lanes256>(InstructionSets.Avx2);
        PowersWith<Lanes512>(InstructionSets.Avx512);
    }

    private static void HalvesWith<T>(InstructionSets needs)
        where T : struct, ILanes<T>
    {
        if ((Processor.Instructions & needs) != needs)
            return;
        var halves = stackalloc ushort[Lanes.Count];
        var singles = stackalloc float[Lanes.Count];
        for (var first = 0; first <= ushort.MaxValue; first += Lanes.Count)
        {
            for (var i = 0; i < Lanes.Count; i++)
                halves[i] = (ushort)(first + i);
            T.Store(T.LoadHalf(halves), singles);
            for (var i = 0; i < Lanes.Count; i++)
                Assert.Equal((float)BitConverter.UInt16BitsToHalf(halves[i]), singles[i]);
        }
    }

    private static void PowersWith<T>(InstructionSets needs)
        where T : struct, ILanes<T>
    {
        if ((Processor.Instructions & needs) != needs)
            return;
        var values = stackalloc float[Lanes.Count];
        var powers = stackalloc float[Lanes.Count];
        for (var first = 0f; first > -126; first -= 0.37f)
        {
            for (var i = 0; i < Lanes.Count; i++)
                values[i] = Math.Max(-126, first - (i * 0.0231f));
            T.Store(LanesMath<T>.Exp2OfNegative(T.Load(values)), powers);
            for (var i = 0; i < Lanes.Count; i++)
                Assert.Equal(1, powers[i] / Math.Pow(2, values[i]), 2e-7);
        }
        Assert.Equal(1, T.Largest(LanesMath<T>.Exp2OfNegative(T.Zero)));
        Assert.InRange(T.Largest(LanesMath<T>.Exp2OfNegative(T.Create(float.NegativeInfinity))), 0, 1.2e-38f);
    }
}

/// <summary>A test of conversions that are assembled at run time; skipped, by name, where the processor has no instructions for them.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class AssembledFactAttribute : FactAttribute
{
    public unsafe AssembledFactAttribute() =>
        Skip = AssembledHalves.ToSingles is null || AssembledHalves.ToHalves is null ? "needs a processor with conversions of halves (F16C)" : null;
}
