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

    /// <summary>The bits of all products, with some tokens at a time.</summary>
    private static int[] Multiply(string name, InstructionSets path, int threads, int step, int columns = Columns)
    {
        using var backend = new CpuBackend(threads, path);
        backend.Reserve(Tokens, columns);
        var weight = backend.Load(TestTensors.Random(QuantTypes.ByName(name), Rows, columns, 1));
        var norm = backend.Load(TestTensors.Of([.. Enumerable.Range(0, columns).Select(i => 1 + (i % 7 * 0.1f))], columns));
        var random = new Random(5);
        var input = Enumerable.Range(0, Tokens * columns).Select(_ => (float)random.NextDouble() - 0.4f).ToArray();
        using var x = backend.Allocate(Tokens, columns);
        using var y = backend.Allocate(Tokens, Rows);
        var output = new List<float>();
        for (var token = 0; token < Tokens; token += step)
        {
            var count = Math.Min(step, Tokens - token);
            backend.Upload(input.AsSpan(token * columns, count * columns), x, count);
            backend.NormMatMul(x, count, new Norm(norm, 1e-5f), [weight], [y]);
            var values = new float[count * Rows];
            backend.Download(y, count, values);
            output.AddRange(values);
        }
        return [.. output.Select(BitConverter.SingleToInt32Bits)];
    }
}
