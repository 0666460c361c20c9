using System.Globalization;
using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>
/// The automatic split by measured speed: the plan of the fewest ms per token that fits (<see cref="PlacementSearch"/>), and what
/// became of the devices it leaves out.
/// </summary>
/// <param name="model">The model's shape.</param>
/// <param name="units">Its units.</param>
/// <param name="links">The cluster's links.</param>
/// <param name="config">The cluster.</param>
/// <param name="sizes">What stages take under it.</param>
/// <param name="devices">The devices, all with profiles.</param>
internal sealed class MeasuredPlan(
    ModelConfig model, ModelUnits units, LinkTable links, ClusterConfig config, StageSizes sizes, IReadOnlyList<DeviceRoom> devices)
{
    // Each alternative is a search of its own.
    private const int MostAlternatives = 16;
    private const long StepsOfAlternatives = 15_000;
    private const int Width = 32;
    private const int WidthOfAlternatives = 3;

    // Devices as good as each other: to swap them is no other plan.
    private const double Alike = 0.01;

    private readonly DeviceCosts[] _costs = [.. devices.Select(device => new DeviceCosts(model, units, device.Profile!, config.KvType))];
    private readonly Lazy<int[][]> _mostEnd = new(() => [.. devices.Select(device => MostEnd(sizes, model.NumLayers + 2, device.Free))]);
    private readonly Dictionary<int, PlanProblem> _problems = [];

    /// <summary>The best plan in units; null where none fits.</summary>
    /// <param name="known">One that fits, to begin with; null for none.</param>
    public SearchResult Best(IReadOnlyList<LayerShare>? known) => Best(known, 0, null, PlacementSearch.DefaultSteps, Width);

    /// <summary>What the plan costs when it is as the objective has it, in ms.</summary>
    public double Cost(IReadOnlyList<LayerShare> shares) => 1000 * ProblemOf(shares).Cost(shares);

    /// <summary>Why each device that a plan leaves out is left out, and the next-best set of devices.</summary>
    /// <param name="plan">The best plan.</param>
    /// <param name="reasons">Gets a reason for each device left out, by its index.</param>
    /// <returns>The next-best plan in words; null where no other fits.</returns>
    public string? Explain(IReadOnlyList<LayerShare> plan, Dictionary<int, string> reasons)
    {
        var best = Cost(plan);
        (double Cost, string Text)? next = null;
        foreach (var device in Enumerable.Range(0, devices.Count))
        {
            if (device >= MostAlternatives)
            {
                reasons[device] = $"the best plan found does without it; what it would cost is told of the first {MostAlternatives} devices only";
                continue;
            }

            var isUsed = plan.Any(share => share.Device == device);
            var all = plan.Aggregate(1UL << device, (mask, share) => mask | (1UL << share.Device));
            var other = Best(null, isUsed ? 0 : all, isUsed ? device : null, StepsOfAlternatives, WidthOfAlternatives);
            var what = isUsed ? $"without {devices[device]}" : $"with {devices[device]}";
            if (other.Shares is not { } shares)
            {
                if (!isUsed)
                    reasons[device] = WhyNone(devices[device].Worker.Name, other.IsExact);
                continue;
            }

            var cost = Cost(shares);
            if (isUsed && shares.Count == plan.Count && Math.Abs(cost - best) <= Alike * best)
                continue;
            var text = string.Create(
                CultureInfo.InvariantCulture, $"{what}: {cost - best:+0.00;-0.00;+0.00} ms per token, {Why(plan, shares, isUsed)}");
            if (!isUsed)
                reasons[device] = text;
            if (next is null || cost < next.Value.Cost)
                next = (cost, text);
        }

        return next?.Text;
    }

    private string WhyNone(string worker, bool isExact)
    {
        var isCutOff = links.Failed.Keys.Any(link => link.From == worker || link.To == worker);
        return (isExact, isCutOff) switch
        {
            (true, false) => "no split that uses it as well fits",
            (true, true) => "no split that uses it as well fits, over links that work",
            _ => "no split that uses it as well was found",
        };
    }

    private SearchResult Best(IReadOnlyList<LayerShare>? known, ulong required, int? excluded, long steps, int width)
    {
        var most = Math.Min(config.PlanFor, devices.Count);
        var best = new SearchResult(null, double.PositiveInfinity, true, double.PositiveInfinity);
        // What a stage takes depends on how many sequences share a batch: each number of batches is a question of its own.
        for (var batches = 1; batches <= most; batches++)
        {
            var problem = Problem(batches) with { Required = required, Excluded = excluded };
            var seed = known is not null && batches <= known.Count ? known : null;
            var found = PlacementSearch.Solve(problem, seed, best.Cost, steps / most, Math.Max(2, width / most));
            best = new SearchResult(
                found.Cost < best.Cost ? found.Shares : best.Shares,
                Math.Min(found.Cost, best.Cost),
                best.IsExact && found.IsExact,
                Math.Min(best.Bound, found.Bound));
        }

        return best;
    }

    private PlanProblem Problem(int batches)
    {
        if (!_problems.TryGetValue(batches, out var problem))
            _problems[batches] = problem = Make(batches);
        return problem;
    }

    private PlanProblem Make(int batches)
    {
        var numUnits = model.NumLayers + 2;
        var step = StepShape.Decode((config.PlanFor + batches - 1) / batches, sizes.PlannedKeys);
        var indices = Enumerable.Range(0, devices.Count).ToList();
        var machines = devices.GroupBy(device => device.Machine)
            .Where(group => group.Count() > 1 && PlacementCosts.IsShort(group.First().Cores, group.Select(device => device.Profile!.Threads)))
            .Select(group => group.Key).ToList();
        return new PlanProblem
        {
            Units = numUnits,
            Batches = batches,
            Prefix = [.. indices.Select(device => Prefix(_costs[device], step, numUnits))],
            StageCost = [.. indices.Select(device => _costs[device].StageSeconds(step))],
            MostEnd = _mostEnd.Value,
            Hop = [.. indices.Select(from => indices.Select(to => Link(from, to, step.Tokens)).ToArray())],
            HopIn = [.. indices.Select(to => Link(null, to, step.Tokens))],
            HopOut = [.. indices.Select(from => Link(from, null, step.Tokens))],
            Owner = Owners(numUnits),
            Machine = [.. devices.Select(device => machines.IndexOf(device.Machine))],
            CoreShare = [.. devices.Select(device => PlacementCosts.CoreShare(device.Profile!.Threads, device.Cores))],
        };
    }

    private double Link(int? from, int? to, int tokens)
    {
        var isInner = from is not null && to is not null;
        return links.Of(Name(from), Name(to)).Seconds(PlacementCosts.HopBytes(config, model, isInner, tokens));

        string Name(int? device) => device is { } index ? devices[index].Worker.Name : LinkTable.Coordinator;
    }

    private static double[] Prefix(DeviceCosts costs, StepShape step, int numUnits)
    {
        var prefix = new double[numUnits + 1];
        for (var unit = 0; unit < numUnits; unit++)
            prefix[unit + 1] = prefix[unit] + costs.UnitSeconds(unit, step);
        return prefix;
    }

    private int[] Owners(int numUnits)
    {
        var owners = new int[numUnits];
        Array.Fill(owners, -1);
        foreach (var pin in config.Pin)
        {
            var device = PinnedDevice(devices, pin);
            for (var layer = pin.Layers.First; layer < pin.Layers.End; layer++)
                owners[layer + 1] = device;
        }

        return owners;
    }

    /// <summary>The index of the device that a pin names; -1 for none.</summary>
    public static int PinnedDevice(IReadOnlyList<DeviceRoom> devices, SplitConfig pin) =>
        devices.ToList().FindIndex(device => device.Worker.Name == pin.Worker && (pin.Device is null || device.Device == pin.Device));

    // Memory never shrinks with more units, so the longest run that fits is found by halving.
    private static int[] MostEnd(StageSizes sizes, int numUnits, long free)
    {
        var ends = new int[numUnits];
        for (var first = 0; first < numUnits; first++)
        {
            var start = first;
            ends[first] = first + NearestFit.Largest(numUnits - first, n => sizes.UnitMemory(start, start + n).Total <= free);
        }

        return ends;
    }

    private string Why(IReadOnlyList<LayerShare> plan, IReadOnlyList<LayerShare> other, bool isUsed)
    {
        var (compute, hops) = (Compute(other) - Compute(plan), Hops(other) - Hops(plan));
        if (isUsed)
        {
            return compute > 0
                ? $"the others take {Ms(compute)} more for its layers, {Ms(Math.Abs(hops))} {(hops <= 0 ? "less" : "more")} for hops"
                : $"hops take {Ms(hops)} more";
        }

        return compute < 0
            ? $"its link costs more ({Ms(hops)}) than its layers save ({Ms(-compute)})"
            : $"its layers take {Ms(compute)} longer there, its link {Ms(hops)}";
    }

    private static string Ms(double milliseconds) => string.Create(CultureInfo.InvariantCulture, $"{milliseconds:0.00} ms");

    private double Compute(IReadOnlyList<LayerShare> plan) => 1000 * plan.Sum(share => ProblemOf(plan).Stage(share.Device, share.First, share.End));

    private double Hops(IReadOnlyList<LayerShare> plan)
    {
        var problem = ProblemOf(plan);
        return 1000 * (problem.HopIn[plan[0].Device] + problem.HopOut[plan[^1].Device]
            + plan.Zip(plan.Skip(1), (a, b) => problem.Hop[a.Device][b.Device]).Sum());
    }

    // With the number of batches that is quickest for the plan.
    private PlanProblem ProblemOf(IReadOnlyList<LayerShare> plan) =>
        Enumerable.Range(1, Math.Min(config.PlanFor, plan.Count)).Select(Problem).MinBy(problem => problem.Cost(plan))!;
}
