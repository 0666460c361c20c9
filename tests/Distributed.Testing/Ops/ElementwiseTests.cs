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
                expected[a] = (input[a] * Math.Cos(angle)) - (input[b] * Math.Sin(angle));
                expected[b] = (input[a] * Math.Sin(angle)) + (input[b] * Math.Cos(angle));
            }
        }
        AssertNear(expected, 2e-6, Download(backend, heads, Rows), $"{backend.Device} {pairs} {headDim}");
    });

    [Fact]
    public void SwiGlu_multiplies_the_gated_halves() => OnEach(backend =>
    {
        const int Rows = 7;
        const int Columns = 83;
        float[] gates = [.. Normal(Rows * Columns, 1).Select((x, i) => i switch { 0 => -200, 1 => 200, 2 => 0, _ => 4 * x })];
        var ups = Normal(Rows * Columns, 2);
        using var gate = Upload(backend, gates, Columns);
        using var up = Upload(backend, ups, Columns);
        backend.SwiGlu(gate, up, Rows);
        var expected = gates.Select((x, i) => x / (1 + Math.Exp(-(double)x)) * ups[i]).ToArray();
        AssertNear(expected, [.. expected.Select(y => 1e-6 * (1 + Math.Abs(y)))], Download(backend, gate, Rows), backend.Device);
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
