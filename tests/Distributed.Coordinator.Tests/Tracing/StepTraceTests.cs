using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Tracing;

namespace Distributed.Coordinator.Tests.Tracing;

public class StepTraceTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(40)]
    [InlineData(-40)]
    [InlineData(900)]
    [InlineData(-900)]
    public void Parts_leave_no_gap_and_never_run_backwards_however_far_a_clock_is_off(long off)
    {
        var trace = StepTrace.Of(Step(), (stage, ns) => ns + (stage == 1 ? off : 0));

        Assert.Equal(
            "Queue Wire0 Deserialize0 Queue0 Compute0 Serialize0 Wire1 Deserialize1 Queue1 Compute1 Serialize1 Wire Deserialize Deliver",
            string.Join(' ', trace.Parts.Select(part => $"{part.Kind}{part.Stage}")));
        Assert.All(trace.Parts.Zip(trace.Parts.Skip(1)), pair => Assert.Equal(pair.First.EndNs, pair.Second.StartNs));
        Assert.All(trace.Parts, part => Assert.True(part.EndNs >= part.StartNs));
        Assert.Equal((1000, 1300), (trace.StartNs, trace.EndNs));
        Assert.Equal((7, 3), (trace.Step, trace.Tokens));
        var compute = trace.Parts.Single(part => part is { Kind: PartKind.Compute, Stage: 1 });
        Assert.All(trace.LayersNs[1], ns => Assert.InRange(ns, compute.StartNs, compute.EndNs));
        if (off == 0)
            Assert.Equal([10, 20, 5, 5, 50, 10, 30, 5, 5, 60, 10, 50, 20, 20], trace.Parts.Select(part => (int)(part.EndNs - part.StartNs)));
    }

    [Fact]
    public async Task Recorder_keeps_what_fits_its_limit_and_counts_the_rest()
    {
        await using var cluster = await RunningCluster.StartAsync(workers: 2);
        // Three times five moments a step: two stages, and the coordinator.
        var recorder = new StepRecorder(layers: false, maxMoments: 4 * 15);
        cluster.Host.Pipeline.Recorder = recorder;

        var (tokens, _) = await cluster.GenerateAsync(cluster.Ask(RunningCluster.Story) with { MaxTokens = 10 });

        Assert.Equal(10, tokens.Count);
        var steps = recorder.Read(cluster.Host.Pipeline.Clocks);
        Assert.Equal([0, 1, 2, 3], steps.Select(step => (int)(step.Step.Step - steps[0].Step.Step)));
        Assert.Equal(tokens.Take(4).Select(token => token.Step.Number), steps.Select(step => step.Step.Step));
        Assert.Equal(6, recorder.Dropped);

        cluster.Host.Pipeline.Recorder = null;
        var (after, _) = await cluster.GenerateAsync(cluster.Ask(RunningCluster.Story) with { MaxTokens = 2 });
        Assert.All(after, token => Assert.All(token.Timings, timing => Assert.Null(timing.Moments)));
    }

    private static RecordedStep Step()
    {
        var result = new StepResult { Step = 7 };
        result.Timings.Add(Timing(0, 1030, 1035, 1040, 1090, 1100, 1050));
        result.Timings.Add(Timing(1, 1130, 1135, 1140, 1200, 1210, 1150));
        result.Timings.Add(new StageTiming { Stage = 2, Moments = new StageMoments { ArrivedNs = 1260, AcceptedNs = 1280 } });
        return new RecordedStep([new Slice { Sequence = 1, Start = 0, Count = 3 }], result, AskedNs: 1000, HandedNs: 1010, ReceivedNs: 1300);
    }

    private static StageTiming Timing(int stage, long arrived, long accepted, long started, long computed, long handed, long layer)
    {
        var moments = new StageMoments
        {
            ArrivedNs = arrived,
            AcceptedNs = accepted,
            StartedNs = started,
            ComputedNs = computed,
            HandedNs = handed,
        };
        moments.LayersNs.Add([started, layer]);
        return new StageTiming { Stage = stage, Moments = moments };
    }
}
