using Distributed.Cluster.Config;
using Distributed.Cluster.Links;

namespace Distributed.Cluster.Tests.Links;

public class LinkShapeTests
{
    [Theory]
    [InlineData("delay=1ms,rate=1Gbit", 1000, 1_000_000_000)]
    [InlineData("rate=2.5Mbit", 0, 2_500_000)]
    [InlineData("delay=150us", 150, null)]
    [InlineData("rate=64Kbit,delay=2s", 2_000_000, 64_000)]
    public void A_shape_is_read_and_written_again(string text, double microseconds, int? bits)
    {
        Assert.True(LinkShape.TryParse(text, out var shape));
        Assert.Equal((microseconds, bits), (shape.Delay.TotalMicroseconds, shape.BitsPerSecond));
        Assert.True(LinkShape.TryParse(shape.ToString(), out var again));
        Assert.Equal(shape, again);
    }

    [Theory]
    [InlineData("")]
    [InlineData("delay")]
    [InlineData("delay=1")]
    [InlineData("delay=0ms")]
    [InlineData("delay=-1ms")]
    [InlineData("delay=2.1s")]
    [InlineData("delay=1ms,delay=2ms")]
    [InlineData("rate=1Gbps")]
    [InlineData("rate=63Kbit")]
    [InlineData("rate=NaNGbit")]
    [InlineData("rate=2000Gbit")]
    [InlineData("loss=1")]
    [InlineData("delay=1ms;rate=1Gbit")]
    public void Anything_else_is_no_shape(string text) => Assert.False(LinkShape.TryParse(text, out _));

    [Fact]
    public void Between_two_nodes_the_longer_delay_and_the_lower_rate_count()
    {
        Assert.Equal(Shape("delay=2ms,rate=1Mbit"), LinkShape.Between(Shape("delay=2ms,rate=1Gbit"), Shape("delay=1ms,rate=1Mbit")));
        Assert.Equal(Shape("delay=2ms,rate=1Gbit"), LinkShape.Between(Shape("delay=2ms"), Shape("rate=1Gbit")));
        Assert.Equal(Shape("delay=2ms"), LinkShape.Between(null, Shape("delay=2ms")));
        var config = new ClusterConfig { Model = "m", Link = Shape("delay=1ms") };
        Assert.Equal((config.Link, null), (config.LinkBetween("a", "b"), config.LinkBetween("a", "a")));
        Assert.Null(LinkShape.Between(null, null));
    }

    private static LinkShape Shape(string text) => LinkShape.Parse("link", text)!;
}
