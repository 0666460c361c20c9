using Distributed.Core.Sampling;

namespace Distributed.Core.Tests.Sampling;

public sealed class CounterRandomTests
{
    [Fact]
    public void Numbers_lie_in_the_unit_interval_and_fill_it_evenly()
    {
        var buckets = new int[100];
        for (var position = 0; position < 100_000; position++)
        {
            var value = CounterRandom.Uniform(42, position);
            Assert.InRange(value, 0, 1 - 1e-17);
            buckets[(int)(value * 100)]++;
        }
        // 99 degrees of freedom: 160 is beyond one in ten thousand.
        Assert.InRange(buckets.Sum(count => Math.Pow(count - 1000, 2) / 1000), 0, 160);
    }

    [Fact]
    public void Neighbouring_positions_and_seeds_are_not_correlated()
    {
        double byPosition = 0, bySeed = 0, shifted = 0;
        const int Count = 100_000;
        for (var i = 0; i < Count; i++)
        {
            var value = CounterRandom.Uniform(1, i) - 0.5;
            byPosition += value * (CounterRandom.Uniform(1, i + 1) - 0.5);
            bySeed += value * (CounterRandom.Uniform(2, i) - 0.5);
            shifted += value * (CounterRandom.Uniform(0, i + 1) - 0.5);
        }
        // The variance of a uniform number is 1/12; five standard errors of the correlation.
        var limit = 5.0 / Math.Sqrt(Count) / 12;
        Assert.InRange(byPosition / Count, -limit, limit);
        Assert.InRange(bySeed / Count, -limit, limit);
        Assert.InRange(shifted / Count, -limit, limit);
    }

    [Fact]
    public void Numbers_stay_what_they_are_in_every_version()
    {
        // A session must draw the same tokens after its worker was replaced by another build.
        Assert.Equal(0.28176129772258496, CounterRandom.Uniform(0, 0));
        Assert.Equal(0.714961602100815, CounterRandom.Uniform(123456789, 1000));
    }
}
