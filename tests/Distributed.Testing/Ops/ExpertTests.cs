using Distributed.Core;
using Distributed.Core.Quantization;
using Xunit;

namespace Distributed.Testing.Ops;

/// <summary>The operations of experts, against double precision.</summary>
public abstract class ExpertTests : OpTests
{
    private const int Tokens = 7;
    private const int Experts = 6;
    private const int PerToken = 3;
    private const int Hidden = 64;
    private const int Width = 32;

    [Theory]
    [InlineData("F32", true)]
    [InlineData("F32", false)]
    [InlineData("Q8_0", true)]
    [InlineData("MXFP4", true)]
    public void Each_token_gets_the_weighted_sum_of_its_best_experts(string name, bool overChosen) => OnEach(backend =>
    {
        var type = QuantTypes.ByName(name);
        var scores = Normal(Tokens * Experts, 1);
        // Multiples of 1/32 whose largest in each 32 is 127/32 become bytes without a rounding.
        var input = EightBitValues(Tokens * Hidden, 2);
        var first = Stack(type, Hidden, Width);
        var second = Stack(F32.Type, Width, Hidden);
        var (bias, residual) = (Normal(Experts * Width, 3), Normal(Tokens * Hidden, 4));
        using var router = Upload(backend, scores, Experts);
        using var x = Upload(backend, input, Hidden);
        using var y = Upload(backend, residual, Hidden);
        using var wide = backend.Allocate(Tokens * PerToken, Width);
        using var back = backend.Allocate(Tokens * PerToken, Hidden);
        var choices = backend.AllocateChoices(Tokens + 1, Experts, PerToken);
        backend.ChooseExperts(router, Tokens, overChosen, choices);
        backend.ExpertMatMul(x, perChoice: false, choices, [backend.Load(first)], [wide]);
        backend.AddExpertBias(wide, choices, backend.Load(TestTensors.Of(bias, Width, Experts)));
        backend.ExpertMatMul(wide, perChoice: true, choices, [backend.Load(second)], [back]);
        backend.AddExperts(back, choices, y);

        var (w1, w2) = (TestTensors.Values(first), TestTensors.Values(second));
        var expected = residual.Select(value => (double)value).ToArray();
        for (var token = 0; token < Tokens; token++)
        {
            var powers = scores.Skip(token * Experts).Take(Experts).Select(score => Math.Exp(score)).ToArray();
            var best = Enumerable.Range(0, Experts).OrderByDescending(expert => powers[expert]).Take(PerToken).ToArray();
            var sum = overChosen ? best.Sum(expert => powers[expert]) : powers.Sum();
            foreach (var expert in best)
            {
                var middle = Multiply(w1, expert, Width, Hidden, i => input[(token * Hidden) + i]);
                for (var i = 0; i < Width; i++)
                    middle[i] += bias[(expert * Width) + i];
                var output = Multiply(w2, expert, Hidden, Width, i => middle[i]);
                for (var i = 0; i < Hidden; i++)
                    expected[(token * Hidden) + i] += powers[expert] / sum * output[i];
            }
        }
        AssertNear(expected, expected.Max(Math.Abs) * 3e-6, Download(backend, y, Tokens), $"{backend.Device} {name}");
    });

    [Fact]
    public void Of_equal_scores_the_first_experts_are_chosen() => OnEach(backend =>
    {
        using var router = Upload(backend, new float[Experts], Experts);
        using var x = Upload(backend, [1], 1);
        using var y = Upload(backend, [0], 1);
        using var output = backend.Allocate(PerToken, 1);
        var choices = backend.AllocateChoices(1, Experts, PerToken);
        backend.ChooseExperts(router, 1, overChosen: true, choices);
        var weights = TestTensors.Of([1, 10, 100, 1000, 1, 1], 1, 1, Experts);
        backend.ExpertMatMul(x, perChoice: false, choices, [backend.Load(weights)], [output]);
        backend.AddExperts(output, choices, y);
        AssertNear([111 / 3.0], 1e-5, Download(backend, y, 1), backend.Device);
    });

    private static Tensor Stack(QuantType type, int columns, int rows)
    {
        var matrix = TestTensors.Random(type, rows * Experts, columns, seed: 7);
        return TestTensors.Of("experts", type, Enumerable.Range(0, rows * Experts).SelectMany(row => matrix.Row(row).ToArray()).ToArray(),
            columns, rows, Experts);
    }

    private static double[] Multiply(float[] weights, int expert, int rows, int columns, Func<int, double> input)
    {
        var output = new double[rows];
        for (var row = 0; row < rows; row++)
            for (var column = 0; column < columns; column++)
                output[row] += weights[(((expert * rows) + row) * columns) + column] * input(column);
        return output;
    }

    private static float[] EightBitValues(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(i => (i % 32 == 7 ? 127 : random.Next(-127, 128)) / 32f)];
    }
}
