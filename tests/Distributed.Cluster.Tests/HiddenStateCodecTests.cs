using Distributed.Cluster.Config;

namespace Distributed.Cluster.Tests;

public class HiddenStateCodecTests
{
    private const int Rows = 3;
    private const int Columns = 96;

    [Theory]
    [InlineData(WireType.F32, 4 * Columns * Rows)]
    [InlineData(WireType.F16, 2 * Columns * Rows)]
    [InlineData(WireType.Q8_0, 34 * Columns / 32 * Rows)]
    public void A_format_takes_its_bytes_and_comes_back_as_near_as_it_promises(WireType type, int bytes)
    {
        var values = Values();
        Assert.Equal(bytes, HiddenStateCodec.Bytes(type, Rows, Columns));

        var back = RoundTrip(type, values);

        for (var i = 0; i < values.Length; i++)
        {
            var block = values.AsSpan(i / 32 * 32, 32).ToArray().Max(MathF.Abs);
            var near = type switch { WireType.F32 => 0, WireType.F16 => MathF.Abs(values[i]) / 2048, _ => block / 127 * 0.51f };
            Assert.InRange(back[i], values[i] - near, values[i] + near);
        }
    }

    [Theory]
    [InlineData(WireType.F16)]
    [InlineData(WireType.Q8_0)]
    public void A_row_is_the_same_whatever_batch_it_travels_in(WireType type)
    {
        var values = Values();
        var together = RoundTrip(type, values);

        for (var row = 0; row < Rows; row++)
            Assert.Equal(together[(row * Columns)..((row + 1) * Columns)], RoundTrip(type, values[(row * Columns)..((row + 1) * Columns)]));
    }

    [Fact]
    public void A_hidden_size_that_has_no_whole_blocks_is_refused()
    {
        Assert.Null(WireType.F16.Error(100));
        Assert.Equal("wire is q8_0: needs a hidden size that is a multiple of 32; the model's is 100", WireType.Q8_0.Error(100)!.ToString());
    }

    private static float[] RoundTrip(WireType type, float[] values)
    {
        var wire = new byte[HiddenStateCodec.Bytes(type, values.Length / Columns, Columns)];
        HiddenStateCodec.Encode(type, values, wire);
        var back = new float[values.Length];
        HiddenStateCodec.Decode(type, wire, back);
        return back;
    }

    private static float[] Values()
    {
        var random = new Random(7);
        return [.. Enumerable.Range(0, Rows * Columns).Select(i => (float)((random.NextDouble() - 0.5) * Math.Pow(10, i % 5)))];
    }
}
