using Distributed.Core;
using Distributed.Core.Quantization;
using Xunit;

namespace Distributed.Testing.Ops;

/// <summary>The operations that work value by value or row by row, against double precision.</summary>
public abstract class ElementwiseTests : OpTests
{
    [Theory]
    [InlineData(RopePairs.Neighbours, 64, 32)]
    [InlineData(RopePairs.Halves, 64, 32)]
    [InlineData(RopePairs.Neighbours, 20, 10)]
    [InlineData(RopePairs.Halves, 48, 12)]
    [InlineData(RopePairs.HalvesToNeighbours, 64, 32)]
    [InlineData(RopePairs.HalvesToNeighbours, 20, 10)]
    public void Rope_turns_each_pair_by_its_angle(RopePairs pairs, int headDim, int half) => OnEach(backend =>
    {
        const int Rows = 9;
        const int Heads = 3;
        var input = Normal(Rows * Heads * headDim, 1);
        var angles = Normal(Rows * half, 2);
        using var heads = Upload(backend, input, Heads * headDim);
        using var cos = Upload(backend, [.. angles.Select(MathF.Cos)], half);
        using var sin = Upload(backend, [.. angles.Select(MathF.Sin)], half);
        backend.Rope(heads, Rows, headDim, cos, sin, pairs);

        var expected = input.Select(x => (double)x).ToArray();
        for (var head = 0; head < Rows * Heads; head++)
        {
            for (var i = 0; i < half; i++)
            {
                var angle = angles[(head / Heads * half) + i];
                var a = (head * headDim) + (pairs == RopePairs.Neighbours ? 2 * i : i);
                var b = a + (pairs == RopePairs.Neighbours ? 1 : half);
                var (first, second) = pairs == RopePairs.HalvesToNeighbours ? (a + i, a + i + 1) : (a, b);
                expected[first] = (input[a] * Math.Cos(angle)) - (input[b] * Math.Sin(angle));
                expected[second] = (input[a] * Math.Sin(angle)) + (input[b] * Math.Cos(angle));
            }
        }
        AssertNear(expected, 2e-6, Download(backend, heads, Rows), $"{backend.Device} {pairs} {headDim}");
    });

    [Theory]
    [InlineData(Activation.Silu)]
    [InlineData(Activation.Gelu)]
    [InlineData(Activation.ClampedSwish)]
    public void Activations_are_multiplied_with_the_other_half(Activation activation) => OnEach(backend =>
    {
        const int Rows = 7;
        const int Columns = 83;
        float[] gates = [.. Normal(Rows * Columns, 1).Select((x, i) => i switch { 0 => -200, 1 => 200, 2 => 0, _ => 4 * x })];
        var ups = Normal(Rows * Columns, 2);
        using var gate = Upload(backend, gates, Columns);
        using var up = Upload(backend, ups, Columns);
        using var alone = Upload(backend, gates, Columns);
        backend.Activate(activation, gate, up, Rows);
        backend.Activate(activation, alone, null, Rows);
        var activated = gates.Select(x => Activate(x)).ToArray();
        Near([.. activated.Select((y, i) => y * Up(ups[i]))], gate);
        Near(activated, alone);

        double Activate(double x) => activation switch
        {
            Activation.Silu => x / (1 + Math.Exp(-x)),
            Activation.Gelu => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x)))),
            _ => Math.Min(x, 7) / (1 + Math.Exp(-1.702 * Math.Min(x, 7))),
        };
        double Up(double x) => activation == Activation.ClampedSwish ? Math.Clamp(x, -7, 7) + 1 : x;
        void Near(double[] expected, Activations actual) => AssertNear(
            expected, [.. expected.Select(y => 1e-6 * (1 + Math.Abs(y)))], Download(backend, actual, Rows), $"{backend.Device} {activation}");
    });

    [Theory]
    [InlineData(false, false, 24, 24)]
    [InlineData(false, false, 72, 72)]
    [InlineData(true, false, 24, 72)]
    [InlineData(true, true, 37, 37)]
    public void Normalize_norms_each_run_of_values(bool isCentred, bool hasBias, int width, int weights) => OnEach(backend =>
    {
        const int Rows = 5;
        const float Eps = 1e-3f;
        var columns = width == 37 ? 37 : 72;
        var (input, weight, bias) = (Normal(Rows * columns, 1), Normal(weights, 2), Normal(weights, 3));
        using var x = Upload(backend, input, columns);
        using var y = backend.Allocate(Rows, columns);
        var norm = new Norm(
            backend.Load(TestTensors.Of(weight, weights)), Eps, isCentred, hasBias ? backend.Load(TestTensors.Of(bias, weights)) : null);
        backend.Normalize(x, Rows, width, norm, y);
        backend.Normalize(x, Rows, width, norm, x);

        var expected = new double[input.Length];
        for (var start = 0; start < input.Length; start += width)
        {
            var run = input.Skip(start).Take(width).Select(value => (double)value).ToArray();
            var mean = isCentred ? run.Average() : 0;
            var scale = 1 / Math.Sqrt(run.Average(value => (value - mean) * (value - mean)) + Eps);
            for (var i = 0; i < width; i++)
            {
                var at = ((start % columns) + i) % weights;
                expected[start + i] = ((run[i] - mean) * scale * weight[at]) + (hasBias ? bias[at] : 0);
            }
        }
        AssertNear(expected, 3e-6, Download(backend, y, Rows), backend.Device);
        Assert.Equal(Download(backend, y, Rows), Download(backend, x, Rows));
    });

    [Fact]
    public void Biases_sums_factors_and_caps_work_value_by_value() => OnEach(backend =>
    {
        const int Rows = 4;
        const int Columns = 39;
        var (a, b, bias) = (Normal(Rows * Columns, 1), Normal(Rows * Columns, 2), Normal(Columns, 3));
        a[0] = 1e-5f;
        a[1] = 1000;
        a[2] = -1000;
        using var values = Upload(backend, a, Columns);
        using var source = Upload(backend, b, Columns);
        using var capped = Upload(backend, a, Columns);
        backend.AddBias(values, Rows, backend.Load(TestTensors.Of(bias, Columns)));
        backend.AddScaled(source, Rows, 0.25f, values);
        backend.Scale(values, Rows, 3);
        backend.SoftCap(capped, Rows, 2);
        var expected = a.Select((x, i) => 3 * ((double)x + bias[i % Columns] + (0.25 * b[i]))).ToArray();
        AssertNear(expected, [.. expected.Select(x => 1e-6 * (1 + Math.Abs(x)))], Download(backend, values, Rows), backend.Device);
        expected = [.. a.Select(x => 2 * Math.Tanh(x / 2.0))];
        AssertNear(expected, [.. expected.Select(x => 5e-7 * Math.Abs(x))], Download(backend, capped, Rows), backend.Device);
    });

    [Fact]
    public void Embed_gives_the_dequantised_rows() => OnEach(backend =>
    {
        foreach (var type in QuantTypes.All)
        {
            var table = TestTensors.Random(type, 40, 256, 1);
            using var output = backend.Allocate(4, 256);
            backend.Embed([39, 0, 7], backend.Load(table), output);
            var values = TestTensors.Values(table);
            Assert.Equal(
                [.. new[] { 39, 0, 7 }.SelectMany(row => values.Skip(row * 256).Take(256))], Download(backend, output, 3));
        }
    });

    [Fact]
    public void Gather_copies_the_rows_asked_for() => OnEach(backend =>
    {
        var values = Normal(12 * 40, 1);
        using var source = Upload(backend, values, 40);
        using var target = backend.Allocate(12, 40);
        backend.Gather(source, [2, 3, 11], target);
        Assert.Equal([.. new[] { 2, 3, 11 }.SelectMany(row => values.Skip(row * 40).Take(40))], Download(backend, target, 3));
    });
}
