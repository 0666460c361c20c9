using Distributed.Core;
using Distributed.Core.Quantization;
using Distributed.Testing;

namespace Distributed.Cpu.Tests;

/// <summary>Products have the same bits on every path, whatever the tokens beside them and the threads.</summary>
public class SameBitsTests
{
    private const int Rows = 51;

    // Past the columns and the tokens that kernels take at once.
    private const int Columns = 1280;
    private const int Tokens = 265;

    public static TheoryData<string> Types => [.. QuantTypes.All.Select(type => type.Name)];

    [Theory, MemberData(nameof(Types))]
    public void Every_path_gives_the_bits_of_the_scalar_twin(string name)
    {
        var expected = Multiply(name, InstructionSets.None, 1, Tokens);
        foreach (var path in InstructionSetPaths.Supported)
            Assert.Equal(expected, Multiply(name, path, 1, Tokens));
    }

    [Theory, MemberData(nameof(Types))]
    public void A_token_alone_gives_the_bits_it_gives_among_others(string name)
    {
        foreach (var path in InstructionSetPaths.Supported)
        {
            var expected = Multiply(name, path, 1, Tokens);
            // Among them and what they leave are all numbers of tokens from 1 to 8.
            foreach (var step in new[] { 1, 3, 6, 8, 9, 23, 263 })
                Assert.Equal(expected, Multiply(name, path, 1, step));
        }
    }

    [Theory, MemberData(nameof(Types))]
    public void Three_threads_give_the_bits_of_one(string name) =>
        Assert.Equal(Multiply(name, InstructionSets.All, 1, Tokens), Multiply(name, InstructionSets.All, 3, Tokens));

    [Theory]
    [InlineData("F32", 7)]
    [InlineData("F16", 7)]
    [InlineData("BF16", 7)]
    [InlineData("F32", 16)]
    [InlineData("F16", 16)]
    [InlineData("F16", 50)]
    [InlineData("F16", 74)]
    public void Rows_of_few_columns_have_the_same_bits_too(string name, int columns)
    {
        var expected = Multiply(name, InstructionSets.None, 1, Tokens, columns);
        foreach (var path in InstructionSetPaths.Supported)
            foreach (var step in new[] { 1, 2, 3, 5, 8, 32, 33, Tokens })
                Assert.Equal(expected, Multiply(name, path, 1, step, columns));
    }

    /// <summary>The largest sums there can be: every number of a block (its bytes from first to end) and every value at its end.</summary>
    [Theory]
    [InlineData("Q4_0", 2, 18)]
    [InlineData("Q4_1", 4, 20)]
    [InlineData("Q5_0", 2, 22)]
    [InlineData("Q5_1", 4, 24)]
    [InlineData("Q8_0", 2, 34)]
    [InlineData("Q2_K", 16, 80)]
    [InlineData("Q3_K", 0, 96)]
    [InlineData("Q4_K", 16, 144)]
    [InlineData("Q5_K", 16, 176)]
    [InlineData("Q6_K", 0, 192)]
    [InlineData("MXFP4", 1, 17)]
    public unsafe void Sums_of_the_largest_numbers_have_the_same_bits(string name, int first, int end)
    {
        // Some more than go without a panel.
        const int tokens = 43;
        var type = QuantTypes.ByName(name);
        // As signed bytes, 127 and -128.
        foreach (var numbers in (byte[])[0xFF, 0x00, 0x7F, 0x80])
        {
            var random = TestTensors.Random(type, Rows, Columns, 1);
            var bytes = new Span<byte>(random.Data, (int)random.Bytes);
            for (var at = 0; at < bytes.Length; at += type.BlockBytes)
                bytes[(at + first)..(at + end)].Fill(numbers);
            var weights = TestTensors.Of("test", type, bytes, Columns, Rows);
            float[] input = [.. Enumerable.Range(0, tokens * Columns).Select(i => i / Columns % 2 == 0 ? 1f : -1f)];
            float[] norm = [.. Enumerable.Repeat(1f, Columns)];
            var expected = Multiply(weights, norm, input, InstructionSets.None, 1, tokens);
            foreach (var path in InstructionSetPaths.Supported)
                Assert.Equal(expected, Multiply(weights, norm, input, path, 1, tokens));
        }
    }

    private static int[] Multiply(string name, InstructionSets path, int threads, int step, int columns = Columns)
    {
        var random = new Random(5);
        var input = Enumerable.Range(0, Tokens * columns).Select(_ => (float)random.NextDouble() - 0.4f).ToArray();
        float[] norm = [.. Enumerable.Range(0, columns).Select(i => 1 + (i % 7 * 0.1f))];
        return Multiply(TestTensors.Random(QuantTypes.ByName(name), Rows, columns, 1), norm, input, path, threads, step);
    }

    /// <summary>The bits of all products, with some tokens at a time.</summary>
    private static int[] Multiply(Tensor weights, float[] norms, float[] input, InstructionSets path, int threads, int step)
    {
        var (columns, tokens) = (norms.Length, input.Length / norms.Length);
        using var backend = new CpuBackend(threads, path);
        backend.Reserve(tokens, columns);
        var weight = backend.Load(weights);
        var norm = backend.Load(TestTensors.Of(norms, columns));
        using var x = backend.Allocate(tokens, columns);
        using var y = backend.Allocate(tokens, Rows);
        var output = new List<float>();
        for (var token = 0; token < tokens; token += step)
        {
            var count = Math.Min(step, tokens - token);
            backend.Upload(input.AsSpan(token * columns, count * columns), x, count);
            backend.NormMatMul(x, count, new Norm(norm, 1e-5f), [weight], [y]);
            var values = new float[count * Rows];
            backend.Download(y, count, values);
            output.AddRange(values);
        }
        return [.. output.Select(BitConverter.SingleToInt32Bits)];
    }
}
