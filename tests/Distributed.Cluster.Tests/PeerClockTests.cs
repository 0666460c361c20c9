namespace Distributed.Cluster.Tests;

public class PeerClockTests
{
    // The other clock is 1000 ahead, later 1400: between the two it gains evenly, 400 in 2000 of ours.
    private static readonly PeerClock Clock = new([new(10_000, 1000, 7), new(12_000, 1400, 9)]);

    [Theory]
    [InlineData(9_000, 8_000)]
    [InlineData(11_000, 10_000)]
    [InlineData(12_200, 11_000)]
    [InlineData(13_400, 12_000)]
    [InlineData(20_000, 18_600)]
    public void Moments_are_brought_to_this_clock_by_the_comparisons_around_them(long peer, long local) =>
        Assert.Equal(local, Clock.ToLocal(peer));

    [Fact]
    public void Offset_is_the_latest_and_error_the_largest()
    {
        Assert.Equal((1400, 9), (Clock.OffsetNs, Clock.ErrorNs));
        using var exact = new PeerClock([new(5, 0, 0)]);
        Assert.Equal((0, 0, 77), (exact.OffsetNs, exact.ErrorNs, exact.ToLocal(77)));
    }

    [Fact]
    public void Order_of_moments_is_kept()
    {
        var random = new Random(1);
        var readings = Enumerable.Range(1, 50).Select(i => new ClockReading(i * 1_000_000L, random.Next(-500, 500), 250)).ToList();
        using var clock = new PeerClock(readings);
        var local = Enumerable.Range(0, 5_100).Select(i => clock.ToLocal(i * 10_000L)).ToList();
        Assert.Equal(local.Order(), local);
    }
}
