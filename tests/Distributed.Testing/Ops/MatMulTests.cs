using Distributed.Core;
using Distributed.Core.Quantization;
using Xunit;

namespace Distributed.Testing.Ops;

/// <summary><see cref="Backend.NormMatMul"/> and <see cref="Backend.MatMulAdd"/> against products in double precision.</summary>
public abstract class MatMulTests : OpTests
{
    /// <summary>Rounding of float32 sums, relative to the sum of magnitudes.</summary>
    private const double SumTolerance = 2e-6;

    /// <summary>The name of every type this build reads.</summary>
    public static TheoryData<string> Types => [.. QuantTypes.All.Select(type => type.Name)];

    [Theory, MemberData(nameof(Types))]
    public void Products_are_added_to_the_residual(string name) => OnEach(backend =>
    {
        foreach (var (rows, columns, tokens) in Shapes(QuantTypes.ByName(name)))
        {
            var tensor = TestTensors.Random(QuantTypes.ByName(name), rows, columns, seed: rows);
            var input = EightBitValues(tokens * columns, seed: tokens);
            var residual = Normal(tokens * rows, seed: 3);
            using var x = Upload(backend, input, columns);
            using var y = Upload(backend, residual, rows);
            backend.MatMulAdd(x, tokens, backend.Load(tensor), y);
            var (products, magnitudes) = Multiply(TestTensors.Values(tensor), input, columns);
            AssertNear(
                [.. products.Select((product, i) => product + residual[i])], [.. magnitudes.Select(m => SumTolerance * (m + 1))],
                Download(backend, y, tokens), $"{backend.Device} {name} {rows}×{columns}, {tokens} tokens");
        }
    });

    [Theory, MemberData(nameof(Types))]
    public void Several_matrices_are_multiplied_with_the_normed_input(string name) => OnEach(backend =>
    {
        const float Eps = 1e-5f;
        const int Columns = 512;
        const int Tokens = 5;
        var type = QuantTypes.ByName(name);
        // A matrix of another type beside it, as files mix them.
        Tensor[] tensors = [TestTensors.Random(type, 24, Columns, 1), TestTensors.Random(F32.Type, 9, Columns, 2)];
        var norm = Normal(Columns, 4);
        var input = Normal(Tokens * Columns, 5);
        using var x = Upload(backend, input, Columns);
        using var a = backend.Allocate(Tokens, 24);
        using var b = backend.Allocate(Tokens, 9);
        backend.NormMatMul(
            x, Tokens, new Norm(backend.Load(TestTensors.Of(norm, Columns)), Eps), [.. tensors.Select(backend.Load)], [a, b]);

        var normed = Norm(input, norm, Eps, Columns);
        foreach (var (tensor, output) in tensors.Zip([a, b]))
        {
            var weights = TestTensors.Values(tensor);
            var (products, magnitudes) = Multiply(weights, normed, Columns);
            var rounding = RoundingToEightBits(weights, normed, Columns);
            var rounds = tensor.Type.BlockLength > 1;
            AssertNear(
                products, [.. magnitudes.Select((m, i) => (SumTolerance * (m + 1)) + (rounds ? rounding[i] : 0))],
                Download(backend, output, Tokens), $"{backend.Device} {tensor.Type} beside {name}");
        }
    });

    // Tiles that are full, cut and single, in rows, columns and tokens.
    private static IEnumerable<(int Rows, int Columns, int Tokens)> Shapes(QuantType type)
    {
        var odd = type.BlockLength == 1 ? 83 : type.BlockLength * 3;
        yield return (24, 512, 1);
        yield return (8, odd, 2);
        yield return (19, odd, 4);
        yield return (3, 256, 7);
        yield return (3, 256, 9);
        yield return (1, odd, 1);
        yield return (16, 256, 70);
        yield return (264, 1024, 2);
    }

    /// <summary>Values that a backend which turns inputs into bytes, in blocks of 32, keeps exactly: so it has no rounding to hide behind.</summary>
    private static float[] EightBitValues(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(i => (i % 32 == 7 ? 127 : random.Next(-127, 128)) / 32f)];
    }

    private static float[] Norm(float[] input, float[] weight, float eps, int columns)
    {
        var normed = new float[input.Length];
        for (var row = 0; row < input.Length; row += columns)
        {
            var squares = input.Skip(row).Take(columns).Sum(x => (double)x * x);
            for (var i = 0; i < columns; i++)
                normed[row + i] = (float)(input[row + i] / Math.Sqrt((squares / columns) + eps) * weight[i]);
        }
        return normed;
    }

    /// <summary>Products [tokens, rows] and the sums of their terms' magnitudes.</summary>
    private static (double[] Products, double[] Magnitudes) Multiply(float[] weights, float[] input, int columns)
    {
        var (rows, tokens) = (weights.Length / columns, input.Length / columns);
        var (products, magnitudes) = (new double[tokens * rows], new double[tokens * rows]);
        for (var i = 0; i < products.Length; i++)
        {
            var (token, row) = Math.DivRem(i, rows);
            for (var column = 0; column < columns; column++)
            {
                var term = (double)weights[(row * columns) + column] * input[(token * columns) + column];
                products[i] += term;
                magnitudes[i] += Math.Abs(term);
            }
        }
        return (products, magnitudes);
    }

    /// <summary>The most that rounding the input to bytes of 1/127 of each block's largest value can change the products.</summary>
    private static double[] RoundingToEightBits(float[] weights, float[] input, int columns)
    {
        var (rows, tokens) = (weights.Length / columns, input.Length / columns);
        var bounds = new double[tokens * rows];
        for (var i = 0; i < bounds.Length; i++)
        {
            var (token, row) = Math.DivRem(i, rows);
            for (var column = 0; column < columns; column += 32)
            {
                var step = input.AsSpan((token * columns) + column, 32).ToArray().Max(MathF.Abs) / 127;
                bounds[i] += weights.AsSpan((row * columns) + column, 32).ToArray().Sum(w => Math.Abs((double)w)) * step * 0.5001;
            }
        }
        return bounds;
    }
}
