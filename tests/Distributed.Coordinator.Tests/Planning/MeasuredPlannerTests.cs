using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using static Distributed.Coordinator.Tests.Planning.SyntheticModel;

namespace Distributed.Coordinator.Tests.Planning;

/// <summary>Automatic splits of devices whose profiles and links are known, by hand.</summary>
public class MeasuredPlannerTests
{
    // 100 MiB a layer: 10 ms at 10 GiB/s. A stage of n layers takes 8 n MiB of keys and values and 2 MiB more.
    private static readonly SyntheticModel Eight = new([100, 100, 100, 100, 100, 100, 100, 100], 10, 10);

    [Fact]
    public void With_a_delay_of_5_ms_the_second_worker_is_left_out_where_the_model_fits_in_one()
    {
        var placement = Plan(Eight, ClusterOf(2), Links(2, 5e-3), (1000, 10), (1000, 10));

        Assert.Equal(["a/cpu 0-8"], Stages(placement));
        var unused = Assert.Single(placement.Unused);
        Assert.Equal("b", unused.Worker);
        Assert.Matches(@"^with b/cpu: \+5\.\d\d ms per token, ", unused.Reason);
        Assert.Equal(unused.Reason, placement.Choice.NextBest);
        Assert.Equal("fewest ms per token for 1 sequence", placement.Choice.Rule);
    }

    [Fact]
    public void With_a_delay_of_5_ms_the_second_worker_is_used_where_the_model_does_not_fit_in_one()
    {
        var placement = Plan(Eight, ClusterOf(2), Links(2, 5e-3), (700, 10), (700, 10));

        Assert.Equal(2, placement.Stages.Count);
        Assert.Empty(placement.Unused);
        Assert.Null(placement.Choice.NextBest);
        var step = placement.Costs!.Decode(512);
        Assert.Equal(5.0, step.Hops[1], 0.01);
        Assert.Equal(80, step.Stages.Sum(), 3.0);
        Assert.Equal(step.PathMs, step.TokenMs, 1e-9);
    }

    [Fact]
    public void A_quicker_worker_takes_what_fits_it_when_its_link_costs_less_than_its_layers_save()
    {
        // Six layers at a quarter of the time save 45 ms, for two ways of 2 ms each.
        var placement = Plan(Eight, ClusterOf(2), Links(2, 2e-3), (1000, 10), (680, 40));
        Assert.Equal(6, placement.Stages.First(stage => stage.Worker == "b").Spec.NumLayers);
        Assert.Contains("without b/cpu: +", placement.Choice.NextBest, StringComparison.Ordinal);

        placement = Plan(Eight, ClusterOf(2), Links(2, 60e-3), (1000, 10), (680, 40));
        Assert.Equal(["a/cpu 0-8"], Stages(placement));
        Assert.Matches(@"with b/cpu: \+\d+\.\d\d ms per token, its link costs more \(\d+\.\d\d ms\) than its layers save \(\d+\.\d\d ms\)", placement.Choice.NextBest!);
    }

    [Fact]
    public void The_order_of_the_workers_follows_the_links()
    {
        var links = Links(3, 10e-3);
        links["c", "a"] = new LinkTimes(1e-3, 1e9);
        links["a", "b"] = new LinkTimes(1e-3, 1e9);
        var placement = Plan(Eight, ClusterOf(3), links, (400, 10), (400, 10), (400, 10));
        Assert.Equal(["c", "a", "b"], placement.Stages.Select(stage => stage.Worker));
    }

    [Fact]
    public void Hidden_states_of_fewer_bits_cross_in_less_time()
    {
        var links = Links(2, 0);
        links["a", "b"] = new LinkTimes(1e-3, 4096 * 100);
        double Hop(WireType wire) =>
            Plan(Eight, ClusterOf(2) with { SplitOverAll = true, Wire = wire }, links, (2000, 10), (2000, 10)).Costs!.Decode(1).Hops[1];

        Assert.Equal(11, Hop(WireType.F32), 1e-9);
        Assert.Equal(6, Hop(WireType.F16), 1e-9);
        Assert.Equal(1 + (10 * 34.0 / 128), Hop(WireType.Q8_0), 1e-9);

        // b is four times as quick: six layers there save 45 ms, and no link costs that much but one of float32.
        links["a", "b"] = links["b", "a"] = new LinkTimes(1e-3, 4096 / 40e-3);
        int Stages(WireType wire) => Plan(Eight, ClusterOf(2) with { Wire = wire }, links, (1000, 10), (680, 40)).Stages.Count;
        Assert.Equal(2, Stages(WireType.F16));
        links["a", "b"] = links["b", "a"] = new LinkTimes(1e-3, 4096 / 60e-3);
        Assert.Equal((1, 2), (Stages(WireType.F32), Stages(WireType.F16)));
    }

    [Fact]
    public void Links_that_do_not_work_are_not_counted_on_and_told()
    {
        var links = Links(3, 1e-3);
        links.Fail("a", "b", "b does not answer");
        links.Fail("b", "a", "b does not answer");
        // Over c the two reach each other.
        var placement = Plan(Eight, ClusterOf(3), links, (400, 10), (400, 10), (400, 10));
        Assert.Equal("c", placement.Stages[1].Worker);
        Assert.Equal("no times of the links from a to b, b to a: b does not answer", placement.Choice.Note);

        placement = Plan(Eight, ClusterOf(2), links, (1000, 10), (680, 40));
        Assert.Equal(["a/cpu 0-8"], Stages(placement));
        Assert.Equal("no split that uses it as well fits, over links that work", Assert.Single(placement.Unused).Reason);

        // Where nothing else fits it is tried all the same, but nothing is predicted.
        placement = Plan(Eight, ClusterOf(2), links, (700, 10), (700, 10));
        Assert.Equal(2, placement.Stages.Count);
        Assert.Null(placement.Costs);
        Assert.StartsWith("memory alone decides: no split was found over the links that have times; no times of", placement.Choice.Note, StringComparison.Ordinal);
        var pinned = ClusterOf(2) with { Pin = [Pin("a", 0, 1)] };
        Assert.StartsWith(
            "pin is 0-1 on a: needs speeds to plan with: no split was found over the links that have times; no times of the links",
            Assert.Throws<InvalidInputException>(() => Plan(Eight, pinned, links, (700, 10), (700, 10))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Sequences_share_a_batch_where_that_is_quicker()
    {
        // b takes nearly all the time and reads its weights once for both.
        var config = ClusterOf(2) with { Split = [Pin("a", 0, 0), Pin("b", 1, 7)] };
        var costs = Plan(Eight, config, Links(2, 1e-3), (2000, 100), (2000, 10)).Costs!;
        var one = costs.Decode(512);
        var two = costs.Decode(512, 2);
        // With two batches b alone would take 2 x 71 ms.
        Assert.InRange(two.TokenMs, one.TokenMs, 100);

        // The planner counts the same: its cost is what is predicted for its plan.
        var free = config with { Split = null, PlanFor = 2 };
        var placement = Plan(Eight, free, Links(2, 1e-3), (330, 100), (2000, 10));
        Assert.Equal(2, placement.Stages.Count);
        var predicted = placement.Costs!.Decode(512, 2).TokenMs;
        var cuts = Enumerable.Range(0, 2).Select(last => free with { Split = [Pin("a", 0, last), Pin("b", last + 1, 7)] })
            .Select(split => Plan(Eight, split, Links(2, 1e-3), (330, 100), (2000, 10)).Costs!.Decode(512, 2).TokenMs);
        Assert.True(predicted <= cuts.Min() + 1e-6);
    }

    [Fact]
    public void Several_sequences_are_spread_where_one_is_not()
    {
        var config = ClusterOf(2);
        Assert.Single(Plan(Eight, config, Links(2, 1e-3), (2000, 10), (2000, 10)).Stages);

        var placement = Plan(Eight, config with { PlanFor = 2 }, Links(2, 1e-3), (2000, 10), (2000, 10));
        Assert.Equal([4, 4], placement.Stages.Select(stage => stage.Spec.NumLayers));
        Assert.Equal("fewest ms per token for 2 sequences at once", placement.Choice.Rule);
        // Each waits for both batches: as long as one batch takes for all stages and hops.
        Assert.InRange(placement.Costs!.Decode(512, 2).TokenMs, 80, 90);

        // Two workers that share one core are no quicker than one.
        var placed = Plan(Eight, config with { PlanFor = 2 }, Links(2, 1e-3), 1, (2000, 10), (2000, 10));
        Assert.Single(placed.Stages);
    }

    [Fact]
    public void Embedding_and_head_lie_apart_from_the_layers_where_nothing_else_fits()
    {
        var large = new SyntheticModel([100, 100], 150, 150);
        var placement = Plan(large, ClusterOf(3), Links(3, 1e-3), (155, 10), (155, 10), (255, 10));

        Assert.Equal(
            [(0, 0, true, false), (0, 2, false, false), (2, 2, false, true)],
            placement.Stages.Select(stage => (stage.Spec.FirstLayer, stage.Spec.EndLayer, stage.Spec.HasEmbedding, stage.Spec.HasHead)));
        Assert.Equal("c", placement.Stages[1].Worker);
    }

    [Fact]
    public void Pins_are_obeyed_and_refused_where_they_cannot_be()
    {
        var config = ClusterOf(3) with { Pin = [Pin("b", 2, 4)] };
        var placement = Plan(Eight, config, Links(3, 1e-3), (2000, 10), (2000, 5), (2000, 10));
        var b = Assert.Single(placement.Stages, stage => stage.Worker == "b");
        Assert.True(b.Spec.FirstLayer <= 2 && b.Spec.EndLayer >= 5, $"{b.Spec}");

        Assert.Equal(
            "pin[0].layers is 2-4: need 326 MiB, 200 MiB are free on b/cpu; what would fit: fewer pinned layers, or none",
            Refused(config, (2000, 10), (200, 10), (2000, 10)));
        Assert.Matches(
            "^pin is 0-1 on a, 2-3 on b, 6-7 on a: leaves no split that fits: each device holds one run of layers",
            Refused(ClusterOf(2) with { Pin = [Pin("a", 0, 1), Pin("b", 2, 3), Pin("a", 6, 7)] }, (2000, 10), (2000, 10)));
        Assert.Equal(
            "pin[0].device is cuda:0: is no device of a, which has cpu",
            Refused(ClusterOf(2) with { Pin = [Pin("a", 0, 1) with { Device = "cuda:0" }] }, (2000, 10), (2000, 10)));
    }

    [Fact]
    public void Exclusions_are_obeyed()
    {
        var placement = Plan(Eight, ClusterOf(2) with { Exclude = ["a"] }, Links(2, 1e-3), (2000, 100), (2000, 1));
        Assert.Equal(["b/cpu 0-8"], Stages(placement));
        Assert.Equal([new UnusedDevice("a", null, "is excluded")], placement.Unused);
        Assert.Equal(
            "split[0].worker is a: has no device that is not excluded",
            Refused(ClusterOf(2) with { Split = [Pin("a", 0, 7)], Exclude = ["a/cpu"] }, (2000, 10), (2000, 10)));
        Assert.Equal(
            "pin[0].worker is a: has no device that is not excluded",
            Refused(ClusterOf(2) with { Pin = [Pin("a", 0, 7)], Exclude = ["a/cpu"] }, (2000, 10), (2000, 10)));
        Assert.Equal(["b/cpu 0-8"], Stages(Plan(Eight, ClusterOf(2) with { Exclude = ["a/cpu"] }, Links(2, 1e-3), (2000, 100), (2000, 1))));
    }

    [Fact]
    public void A_split_over_all_uses_every_worker_and_is_predicted_too()
    {
        var placement = Plan(Eight, ClusterOf(2) with { SplitOverAll = true }, Links(2, 5e-3), (2000, 10), (2000, 10));
        Assert.Equal(["a/cpu 0-4", "b/cpu 4-8"], Stages(placement));
        Assert.Equal(2, placement.Costs!.Decode(1).Stages.Count);
    }

    [Fact]
    public void Without_profiles_it_goes_by_memory()
    {
        var placement = Eight.Planner.Plan(ClusterOf(2), Describe(2000, 2000));
        Assert.Equal(2, placement.Stages.Count);
        Assert.Null(placement.Costs);

        var units = new ModelUnits([[], .. Eight.Layers.Select(mib => new[] { new UnitWeights("Q4_0", mib * MiB) }), []]);
        var planner = new Planner(Eight.Config, Eight.Forecast, units, null, new Dictionary<string, string> { ["b"] = "b does not answer" });
        const string Why = "a/cpu has no profile, b/cpu has no profile (b does not answer)";
        Assert.Equal($"memory alone decides: {Why}", planner.Plan(ClusterOf(2), Describe(2000, 2000)).Choice.Note);
        Assert.Equal(
            "nothing is predicted: a/cpu has no profile",
            planner.Plan(ClusterOf(2) with { Split = [Pin("a", 0, 7)] }, Describe(2000, 2000)).Choice.Note);
        Assert.Equal(
            $"pin is 0-1 on a: needs speeds to plan with: {Why}; what would do without: split",
            Assert.Throws<InvalidInputException>(
                () => planner.Plan(ClusterOf(2) with { Pin = [Pin("a", 0, 1)] }, Describe(2000, 2000))).Message);
    }

    [Fact]
    public void Every_device_that_is_left_out_has_its_own_reason()
    {
        var devices = Enumerable.Repeat((2000L, 10.0), 18).ToArray();
        var placement = Plan(Eight, ClusterOf(18), Links(18, 5e-3), devices);
        Assert.Equal(17, placement.Unused.Count);
        Assert.All(placement.Unused.Take(15), unused => Assert.StartsWith("with ", unused.Reason, StringComparison.Ordinal));
        Assert.All(placement.Unused.Skip(15), unused => Assert.StartsWith("the best plan found does without it; ", unused.Reason, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Eighty_layers_on_sixteen_unlike_devices_are_planned(int sequences)
    {
        var model = new SyntheticModel([.. Enumerable.Repeat(500L, 80)], 1000, 1000);
        var random = new Random(7);
        var links = Links(16, 1e-3);
        foreach (var (from, to) in links.All.Keys.ToList())
            links[from, to] = new LinkTimes(100e-6 + (random.NextDouble() * 2e-3), 1e9);
        var devices = Enumerable.Range(0, 16).Select(i => (3500L + (i * 300), 5 + (i % 7 * 3.0))).ToArray();

        var placement = Plan(model, ClusterOf(16) with { PlanFor = sequences }, links, devices);

        Assert.Equal(80, placement.Stages.Sum(stage => stage.Spec.NumLayers));
        Assert.All(placement.Stages, stage => Assert.True(stage.FreeAfter >= 0));
        // Whatever the search did not finish, it says.
        Assert.True(placement.Choice.Note is null || placement.Choice.Note.StartsWith("the search was cut short", StringComparison.Ordinal));
    }

    private static Placement Plan(SyntheticModel model, ClusterConfig config, LinkTable links, params (long MiB, double GiBps)[] devices) =>
        Plan(model, config, links, 0, devices);

    private static Placement Plan(
        SyntheticModel model, ClusterConfig config, LinkTable links, int cores, params (long MiB, double GiBps)[] devices)
    {
        var workers = Describe([.. devices.Select(device => device.MiB)]);
        foreach (var (i, device) in devices.Index())
        {
            workers[Name(i)].Machine = cores > 0 ? "one" : Name(i);
            workers[Name(i)].Cores = cores;
            workers[Name(i)].Devices[0].Profile = Profile(device.GiBps);
        }

        var units = new ModelUnits(
            [[], .. model.Layers.Select(mib => new[] { new UnitWeights("Q4_0", mib * MiB) }), [new UnitWeights("Q4_0", model.Head * MiB)]]);
        return new Planner(model.Config, model.Forecast, units, links).Plan(config, workers);
    }

    private static string Refused(ClusterConfig config, params (long MiB, double GiBps)[] devices) =>
        Assert.Throws<InvalidInputException>(() => Plan(Eight, config, Links(devices.Length, 1e-3), devices)).Message;

    // Few tokens cost what one does: weights are read once.
    private static DeviceProfile Profile(double gibps)
    {
        var perByte = 1 / (gibps * (1 << 30));
        return new DeviceProfile
        {
            Device = "cpu",
            Threads = 1,
            Types_ =
            {
                new TypeProfile
                {
                    Type = "Q4_0",
                    ByTokens = { new ProductTime { Tokens = 1, SecondsPerByte = perByte }, new ProductTime { Tokens = 256, SecondsPerByte = 64 * perByte } },
                    ByBytes = { new ProductTime { Tokens = 1, Bytes = 1 << 20, SecondsPerByte = perByte } },
                },
            },
            Attention = { new AttentionProfile { KvType = "f16" } },
            Layer = new LayerProfile { ByTokens = { new LayerTime { Tokens = 1 } } },
        };
    }

    private static LinkTable Links(int workers, double latency)
    {
        var links = new LinkTable();
        for (var a = 0; a < workers; a++)
        {
            links[LinkTable.Coordinator, Name(a)] = new LinkTimes(100e-6, 1e9);
            links[Name(a), LinkTable.Coordinator] = new LinkTimes(100e-6, 1e9);
            for (var b = 0; b < workers; b++)
                if (a != b)
                    links[Name(a), Name(b)] = new LinkTimes(latency, 1e9);
        }

        return links;
    }

    private static SplitConfig Pin(string worker, int first, int last) => new() { Worker = worker, Layers = new LayerRange(first, last) };

    private static IEnumerable<string> Stages(Placement placement) =>
        placement.Stages.Select(stage => $"{stage.Worker}/{stage.Device} {stage.Spec.FirstLayer}-{stage.Spec.EndLayer}");
}
