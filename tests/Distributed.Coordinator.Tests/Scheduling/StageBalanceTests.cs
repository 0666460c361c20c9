using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Scheduling;

namespace Distributed.Coordinator.Tests.Scheduling;

public sealed class StageBalanceTests
{
    [Theory]
    // Equal stages: all of them; hops that take longer than the work do not make more.
    [InlineData(new[] { 10, 10 }, 1, 2)]
    [InlineData(new[] { 10, 10, 10 }, 1, 3)]
    [InlineData(new[] { 1, 1, 1 }, 50, 3)]
    // A stage that takes nearly all the time is kept busy by one batch.
    [InlineData(new[] { 1, 20 }, 1, 1)]
    [InlineData(new[] { 2, 20, 2, 2 }, 1, 1)]
    [InlineData(new[] { 20, 20, 2, 2 }, 1, 2)]
    // Unless its way back takes as long as its work.
    [InlineData(new[] { 1, 20 }, 15, 2)]
    public void Sequences_decode_in_as_many_batches_as_the_slowest_stage_can_serve_in_a_round(int[] computeMs, int hopsMs, int groups)
    {
        var balance = new StageBalance(computeMs.Length);
        Assert.Equal(computeMs.Length, balance.Groups);

        // Waiting for other batches does not count.
        balance.Add(
            [.. computeMs.Select(ms => new StageTiming { ComputeNs = ms * 1_000_000L, QueueNs = 7_000_000 })],
            TimeSpan.FromMilliseconds(computeMs.Sum() + hopsMs + (7 * computeMs.Length)));

        Assert.Equal(groups, balance.Groups);
    }

    [Fact]
    public void One_slow_step_changes_nothing_and_lasting_change_does()
    {
        var balance = new StageBalance(2);
        for (var i = 0; i < 20; i++)
            Add(10, 10);
        Add(10, 25);
        Assert.Equal(2, balance.Groups);

        for (var i = 0; i < 40; i++)
            Add(1, 25);
        Assert.Equal(1, balance.Groups);

        void Add(int first, int second) => balance.Add(
            [new StageTiming { ComputeNs = first * 1_000_000L }, new StageTiming { ComputeNs = second * 1_000_000L }],
            TimeSpan.FromMilliseconds(first + second));
    }
}
