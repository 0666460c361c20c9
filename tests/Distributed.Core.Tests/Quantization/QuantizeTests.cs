using Distributed.Core.Quantization;
using Distributed.Testing;

namespace Distributed.Core.Tests.Quantization;

public class QuantizeTests
{
    private const int Columns = 256;
    private const double ErrorAllowed = 1.05;

    public static TheoryData<string> Written => new(QuantTypes.All.Where(type => type.Quantize is not null).Select(type => type.Name));

    public static TheoryData<string> Rounded => new(FileType.All.Select(type => type.Base.Name).Distinct().Except(["F32"]));

    [Theory]
    [MemberData(nameof(Rounded))]
    public void Squared_error_of_each_row_is_at_most_that_of_the_reference(string name)
    {
        var type = QuantTypes.ByName(name);
        var source = Golden.ReadF32("blocks/src.f32");
        var reference = Golden.ReadF32($"blocks/{name.ToLowerInvariant().Replace("_k", "_K", StringComparison.Ordinal)}.f32");

        var values = RoundTrip(type, source);

        for (var row = 0; row < source.Length; row += Columns)
        {
            var limit = ErrorAllowed * SquaredError(source, reference, row);
            Assert.InRange(SquaredError(source, values, row), 0, limit);
        }
    }

    [Theory]
    [MemberData(nameof(Written))]
    public void Values_that_were_quantised_before_are_found_again(string name)
    {
        var type = QuantTypes.ByName(name);
        var source = Golden.ReadF32("blocks/src.f32");
        var once = RoundTrip(type, source);

        var twice = RoundTrip(type, once);

        for (var row = 0; row < source.Length; row += Columns)
            Assert.InRange(SquaredError(once, twice, row), 0, 1e-3 * SquaredError(source, once, row));
    }

    [Theory]
    [MemberData(nameof(Written))]
    public void Each_block_is_quantised_by_itself(string name)
    {
        var type = QuantTypes.ByName(name);
        var source = Golden.ReadF32("blocks/src.f32");
        var whole = Quantize(type, source);

        for (var first = 0; first < source.Length; first += Columns)
        {
            var row = Quantize(type, source.AsSpan(first, Columns));
            Assert.Equal(whole[(int)type.RowBytes(first)..(int)type.RowBytes(first + Columns)], row);
        }
    }

    [Theory]
    [MemberData(nameof(Written))]
    public void Zeros_stay_zeros(string name) =>
        Assert.All(RoundTrip(QuantTypes.ByName(name), new float[Columns]), value => Assert.Equal(0, value));

    [Theory]
    [MemberData(nameof(Written))]
    public void Values_beyond_any_scale_give_finite_ones(string name)
    {
        foreach (var extreme in (float[])[float.MaxValue, -float.MaxValue, 1e6f, -1e6f, float.Epsilon, -1e-30f])
        {
            var lone = new float[Columns];
            lone[100] = extreme;
            float[] all = [.. Enumerable.Repeat(extreme, Columns)];
            float[] both = [.. Enumerable.Range(0, Columns).Select(i => i % 2 == 0 ? extreme : -extreme)];
            foreach (var values in (float[][])[lone, all, both])
                Assert.All(RoundTrip(QuantTypes.ByName(name), values), value => Assert.True(float.IsFinite(value), $"{extreme}: {value}"));
        }
    }

    [Theory]
    [MemberData(nameof(Rounded))]
    public void Blocks_of_one_value_keep_it(string name)
    {
        foreach (var constant in (float[])[1, -1, 0.03f, -0.03f])
        {
            var values = RoundTrip(QuantTypes.ByName(name), [.. Enumerable.Repeat(constant, Columns)]);
            Assert.All(values, value => Assert.Equal(constant, value, Math.Abs(constant) * 0.01));
        }
    }

    [Fact]
    public void Six_bit_scales_are_read_as_they_were_written()
    {
        var random = new Random(3);
        for (var run = 0; run < 100; run++)
        {
            var pairs = Enumerable.Range(0, 8).Select(_ => (random.Next(64), random.Next(64))).ToArray();
            var packed = new byte[SixBitScales.Bytes];
            random.NextBytes(packed);

            for (var group = 0; group < 8; group++)
                SixBitScales.Write(packed, group, pairs[group].Item1, pairs[group].Item2);

            Assert.Equal(pairs, Enumerable.Range(0, 8).Select(group => SixBitScales.Read(packed, group)));
        }
    }

    private static byte[] Quantize(QuantType type, ReadOnlySpan<float> values)
    {
        var blocks = new byte[type.RowBytes(values.Length)];
        type.Quantize!(values, blocks);
        return blocks;
    }

    private static float[] RoundTrip(QuantType type, float[] values)
    {
        var result = new float[values.Length];
        type.Dequantize(Quantize(type, values), result);
        return result;
    }

    private static double SquaredError(float[] wanted, float[] found, int first)
    {
        var sum = 0.0;
        for (var i = first; i < first + Columns; i++)
            sum += Math.Pow((double)wanted[i] - found[i], 2);
        return sum;
    }
}
