using System.Globalization;
using System.Text.RegularExpressions;
using CsCheck;
using Distributed.Cluster.Config;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using static Distributed.Coordinator.Tests.Planning.SyntheticModel;

namespace Distributed.Coordinator.Tests.Planning;

public partial class PlannerPropertyTests
{
    private static readonly Gen<(SyntheticModel Model, long[] Free)> Cases = Gen.Select(
        Gen.Long[1, 40].Array[1, 7], Gen.Long[0, 60], Gen.Long[0, 60], Gen.Long[0, 250].Array[1, 4],
        (layers, embedding, head, free) => (new SyntheticModel(layers, embedding, head), free));

    [Fact]
    public void A_placement_holds_each_layer_once_in_order_and_fits_every_device() => Cases.Sample(
        (model, free) =>
        {
            if (Plan(model, free) is not { } placement)
                return;
            var next = 0;
            foreach (var (i, stage) in placement.Stages.Index())
            {
                Assert.Equal(i, stage.Index);
                Assert.Equal(next, stage.Spec.FirstLayer);
                Assert.True(stage.Spec.EndLayer > next);
                next = stage.Spec.EndLayer;
                Assert.Equal(i == 0, stage.Spec.HasEmbedding);
                Assert.Equal(next == model.Layers.Length, stage.Spec.HasHead);
                Assert.Equal(free[stage.Worker[0] - 'a'] * MiB, stage.Free);
                Assert.Equal(model.Forecast(stage.Spec), stage.Memory);
                Assert.True(stage.FreeAfter >= 0);
            }

            Assert.Equal(model.Layers.Length, next);
            Assert.Equal(placement.Stages.Select(stage => stage.Worker).Order(), placement.Stages.Select(stage => stage.Worker));
            Assert.Equal(free.Length, placement.Stages.Count + placement.Unused.Count);
        },
        iter: 2_000, print: Print);

    [Fact]
    public void The_split_uses_as_many_devices_and_fills_them_as_evenly_as_any_that_fits() => Cases.Sample(
        (model, free) =>
        {
            (int Devices, double Cost)? best = null;
            foreach (var split in AllSplits(model.Layers.Length, free.Length))
            {
                var used = split.Select(share => (Free: free[share.Device] * MiB, Bytes: Bytes(model, share.First, share.End))).ToList();
                if (used.Any(stage => stage.Bytes > stage.Free))
                    continue;
                var cost = used.Sum(stage => (double)stage.Bytes * stage.Bytes / stage.Free);
                if (best is null || split.Count > best.Value.Devices || (split.Count == best.Value.Devices && cost < best.Value.Cost))
                    best = (split.Count, cost);
            }

            var placement = Plan(model, free);
            Assert.Equal(best is null, placement is null);
            if (placement is null)
                return;
            Assert.Equal(best!.Value.Devices, placement.Stages.Count);
            var placed = placement.Stages.Sum(stage => (double)stage.Memory.Total * stage.Memory.Total / stage.Free);
            Assert.Equal(best.Value.Cost, placed, best.Value.Cost * 1e-9);
        },
        iter: 2_000, print: Print);

    [Fact]
    public void What_a_refusal_says_would_fit_does_and_a_step_more_does_not()
    {
        int refused = 0, contexts = 0, sequences = 0, combined = 0;
        Cases.Sample(
            (model, free) =>
            {
                if (Plan(model, free) is not null)
                    return;
                Interlocked.Increment(ref refused);
                var message = Refused(model, free);
                var needed = ByteSize.Format(Bytes(model, 0, model.Layers.Length));
                Assert.Contains($"needs {needed} in one stage", message, StringComparison.Ordinal);
                Assert.All(free, bytes => Assert.Contains(ByteSize.Format(bytes * MiB), message, StringComparison.Ordinal));

                if (Together().Match(message) is { Success: true } together)
                {
                    Interlocked.Increment(ref combined);
                    var tokens = int.Parse(together.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
                    ClusterConfig Least(ClusterConfig config, int context) =>
                        config with { Sequences = 1, MaxBatchTokens = 32, Context = context };
                    Assert.NotNull(Plan(model, free, config => Least(config, tokens)));
                    Assert.Null(Plan(model, free, config => Least(config, tokens + 256)));
                    Assert.Null(Plan(model, free, config => config with { Sequences = 1 }));
                    Assert.Null(Plan(model, free, config => config with { Context = 256 }));
                }
                else if (Context().Match(message) is { Success: true } context)
                {
                    Interlocked.Increment(ref contexts);
                    var tokens = int.Parse(context.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
                    Assert.NotNull(Plan(model, free, config => config with { Context = tokens }));
                    Assert.Null(Plan(model, free, config => config with { Context = tokens + 256 }));
                }

                if (Sequences().Match(message) is { Success: true } count)
                {
                    Interlocked.Increment(ref sequences);
                    var n = int.Parse(count.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
                    Assert.NotNull(Plan(model, free, config => config with { Sequences = n }));
                    Assert.Null(Plan(model, free, config => config with { Sequences = n + 1 }));
                }

                var smaller = Plan(model, free, config => config with { KvType = KvType.Q8_0 });
                Assert.Equal(message.Contains("kv-type q8_0", StringComparison.Ordinal), smaller is not null);
                Assert.True(ByteSize.TryParse(Worker().Match(message).Groups[1].Value, out var more));
                Assert.NotNull(Plan(model, [.. free, (more + MiB - 1) / MiB]));
            },
            iter: 2_000, print: Print);
        Assert.True(refused > 100 && contexts > 10 && sequences > 10 && combined > 0, $"{refused} {contexts} {sequences} {combined}");
    }

    [Fact]
    public void Eighty_layers_on_sixteen_devices_take_one_forecast_per_range_of_layers()
    {
        var model = new SyntheticModel([.. Enumerable.Repeat(500L, 80)], 1000, 1000);
        var forecasts = 0;
        var planner = new Planner(model.Config, spec =>
        {
            forecasts++;
            return model.Forecast(spec);
        });
        planner.Plan(ClusterOf(16), Describe([.. Enumerable.Repeat(4000L, 16)]));
        // Every range once, and the sixteen that are chosen once more.
        Assert.InRange(forecasts, 1, (80 * 81 / 2) + 16);

        // A refusal tries some dozens of variations.
        forecasts = 0;
        Assert.Throws<InvalidInputException>(() => planner.Plan(ClusterOf(16), Describe([.. Enumerable.Repeat(2000L, 16)])));
        Assert.InRange(forecasts, 1, 50 * 80 * 81 / 2);
    }

    private static long Bytes(SyntheticModel model, int first, int end) => model.Forecast(
        new StageSpec(first, end, first == 0, end == model.Layers.Length, 256, KvType.F16, 4 * 32)).Total;

    private static Placement? Plan(SyntheticModel model, long[] free, Func<ClusterConfig, ClusterConfig>? change = null)
    {
        try
        {
            var config = ClusterOf(free.Length);
            return model.Planner.Plan(change is null ? config : change(config), Describe(free));
        }
        catch (InvalidInputException)
        {
            return null;
        }
    }

    private static string Refused(SyntheticModel model, long[] free) =>
        Assert.Throws<InvalidInputException>(() => model.Planner.Plan(ClusterOf(free.Length), Describe(free))).Message;

    private static IEnumerable<List<(int Device, int First, int End)>> AllSplits(int layers, int devices, int first = 0, int device = 0)
    {
        if (first == layers)
            yield return [];
        for (var d = device; d < devices && first < layers; d++)
            for (var end = first + 1; end <= layers; end++)
                foreach (var rest in AllSplits(layers, devices, end, d + 1))
                    yield return [(d, first, end), .. rest];
    }

    private static string Print((SyntheticModel Model, long[] Free) one) =>
        $"layers {string.Join(' ', one.Model.Layers)}, embedding {one.Model.Embedding}, head {one.Model.Head}, "
        + $"free {string.Join(' ', one.Free)}";

    [GeneratedRegex(@"a context of (\d+)")]
    private static partial Regex Context();

    [GeneratedRegex(@"(\d+) sequences?\b(?! with)")]
    private static partial Regex Sequences();

    [GeneratedRegex(@"1 sequence with a context of (\d+) and max-batch-tokens 32")]
    private static partial Regex Together();

    [GeneratedRegex(@"another worker, last in the list, with (.+) free$")]
    private static partial Regex Worker();
}
