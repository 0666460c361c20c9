using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Tests;

public class LinkTests
{
    private static readonly int[] Tokens = [1, 5, 9, 100, 7, 3];

    [Fact]
    public async Task A_shaped_link_is_seen_in_every_hop_and_changes_no_bit()
    {
        var (plain, _) = await RunAsync(config => config);

        var (slow, timings) = await RunAsync(config => config with { Link = Shape("delay=20ms") });

        Assert.Equal(plain, slow);
        Assert.Equal([0, 1, 2], timings.Select(timing => timing.Stage));
        Assert.All(timings, timing => Assert.True(timing.WireNs >= 20e6, $"{timing}"));
    }

    [Fact]
    public async Task A_worker_s_own_link_is_that_of_its_streams_alone()
    {
        // Between the workers go 60 x 256 floats, 491,520 bits.
        var (_, timings) = await RunAsync(
            config => config with { Workers = [config.Workers[0], config.Workers[1] with { Link = Shape("rate=1Mbit") }] },
            [.. Enumerable.Range(1, 60)]);

        Assert.InRange(timings[0].WireNs, 0, 450e6);
        Assert.InRange(timings[1].WireNs, 490e6, 5e9);
    }

    [Theory]
    [InlineData(WireType.F16, 0.02)]
    [InlineData(WireType.Q8_0, 0.2)]
    public async Task Hidden_states_of_fewer_bits_give_nearly_the_same_logits(WireType type, double near)
    {
        var (exact, _) = await RunAsync(config => config);

        var (rounded, _) = await RunAsync(config => config with { Wire = type });

        Assert.NotEqual(exact, rounded);
        var error = Math.Sqrt(exact.Zip(rounded, (a, b) => (a - b) * (double)(a - b)).Average());
        var size = Math.Sqrt(exact.Average(value => value * (double)value));
        Assert.InRange(error, 0, near * size);
    }

    private static LinkShape Shape(string text) => LinkShape.Parse("link", text)!;

    // The logits of some tokens, and the timings of their step.
    private static async Task<(float[] Logits, IReadOnlyList<StageTiming> Timings)> RunAsync(
        Func<ClusterConfig, ClusterConfig> change, int[]? tokens = null)
    {
        tokens ??= Tokens;
        await using var cluster = await RunningCluster.StartAsync(2, change);
        var slice = new Slice { Sequence = 77, Start = 0, Count = tokens.Length, AllLogits = true };
        var result = await cluster.Host.Pipeline.RunAsync([slice], tokens, default);
        return (Cluster.HiddenStateCodec.AsReceivedFloats(result.Logits.Span).ToArray(), result.Timings);
    }
}
