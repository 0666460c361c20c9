using CsCheck;
using Distributed.Coordinator.Planning;

namespace Distributed.Coordinator.Tests.Planning;

public class PlacementSearchTests
{
    // Small enough to try every plan there is: every order of every set of devices, cut everywhere.
    private static readonly Gen<PlanProblem> Problems =
        from devices in Gen.Int[1, 4]
        from units in Gen.Int[2, 6]
        from work in Gen.Double[0.1, 2].Array[units]
        from speed in Gen.Frequency((3, Gen.Double[0.3, 3]), (2, Gen.Const(1.0))).Array[devices]
        from uneven in Gen.Double[1, 1.3].Array[units * devices]
        from isUneven in Gen.Bool
        from room in Gen.Int[1, 7].Array[devices]
        from link in Gen.Frequency((9, Gen.Double[0, 1.5]), (1, Gen.Const(double.PositiveInfinity))).Array[devices * devices]
        from sameLinks in Gen.Bool
        from ends in Gen.Double[0, 0.3].Array[2 * devices]
        from fixedCost in Gen.Double[0, 0.2]
        from batches in Gen.Int[1, 3]
        from owner in Gen.Frequency((4, Gen.Const(-1)), (1, Gen.Int[0, 3])).Array[units]
        from shared in Gen.Bool
        select new PlanProblem
        {
            Units = units,
            Batches = batches,
            Prefix = [.. Enumerable.Range(0, devices).Select(device => Sums(
                Enumerable.Range(0, units).Select(unit => work[unit] * speed[device] * (isUneven ? uneven[(device * units) + unit] : 1))))],
            StageCost = [.. Enumerable.Repeat(fixedCost, devices)],
            MostEnd = [.. Enumerable.Range(0, devices).Select(device => Enumerable.Range(0, units).Select(unit => Math.Min(units, unit + room[device])).ToArray())],
            Hop = [.. Enumerable.Range(0, devices).Select(source => Enumerable.Range(0, devices)
                .Select(target => sameLinks ? link[0] : link[(source * devices) + target]).ToArray())],
            HopIn = [.. Enumerable.Range(0, devices).Select(device => sameLinks ? ends[0] : ends[device])],
            HopOut = [.. Enumerable.Range(0, devices).Select(device => sameLinks ? ends[0] : ends[devices + device])],
            Owner = [.. owner.Select(device => device < devices ? device : -1)],
            Machine = [.. Enumerable.Range(0, devices).Select(device => shared && device % 2 == 0 ? 0 : -1)],
            CoreShare = [.. Enumerable.Repeat(1.0, devices)],
        };

    [Fact]
    public void No_plan_costs_less_than_the_one_found_and_none_is_found_only_where_none_is_allowed()
    {
        var (found, several, none) = (0, 0, 0);
        Problems.Sample(
            problem =>
            {
                var best = AllPlans(problem).Select(problem.Cost).DefaultIfEmpty(double.PositiveInfinity).Min();
                var result = PlacementSearch.Solve(problem);
                Assert.True(result.IsExact);
                if (double.IsPositiveInfinity(best))
                {
                    Interlocked.Increment(ref none);
                    Assert.Null(result.Shares);
                    return;
                }

                Interlocked.Increment(ref found);
                Assert.NotNull(result.Shares);
                if (result.Shares.Count > 1)
                    Interlocked.Increment(ref several);
                Assert.Equal(best, result.Cost, 1e-9);
                Assert.Equal(best, problem.Cost(result.Shares), 1e-9);
                Assert.True(IsAllowed(problem, result.Shares));
            },
            iter: 3_000, print: Print);
        Assert.True(found > 500 && several > 200 && none > 100, $"{found} {several} {none}");
    }

    [Fact]
    public void A_device_that_must_be_used_is_and_one_that_must_not_is_not() => Problems.Sample(
        problem =>
        {
            foreach (var changed in new[] { problem with { Required = 1 }, problem with { Excluded = 0 } })
            {
                var plans = AllPlans(problem).Where(plan => plan.Any(share => share.Device == 0) == (changed.Required != 0));
                var best = plans.Select(problem.Cost).DefaultIfEmpty(double.PositiveInfinity).Min();
                Assert.Equal(best, PlacementSearch.Solve(changed).Cost, 1e-9);
            }
        },
        iter: 1_000, print: Print);

    [Fact]
    public void A_search_cut_short_says_what_no_plan_can_beat() => Problems.Sample(
        problem =>
        {
            var best = AllPlans(problem).Select(problem.Cost).DefaultIfEmpty(double.PositiveInfinity).Min();
            var cut = PlacementSearch.Solve(problem, steps: 1);
            Assert.True(cut.Bound <= best + 1e-9, $"{cut.Bound} {best}");
            Assert.True(cut.Cost >= best - 1e-9, $"{cut.Cost} {best}");
        },
        iter: 1_000, print: Print);

    private static IEnumerable<List<LayerShare>> AllPlans(PlanProblem problem, int first = 0, IReadOnlyList<LayerShare>? before = null)
    {
        before ??= [];
        if (first == problem.Units)
        {
            if (before.Count >= problem.Batches)
                yield return [.. before];
            yield break;
        }

        for (var device = 0; device < problem.Devices; device++)
        {
            if (before.Any(share => share.Device == device))
                continue;
            for (var end = first + 1; end <= problem.Units && Allows(problem, device, first, end); end++)
                foreach (var plan in AllPlans(problem, end, [.. before, new LayerShare(device, first, end)]))
                    yield return plan;
        }
    }

    private static bool IsAllowed(PlanProblem problem, IReadOnlyList<LayerShare> shares) =>
        shares.All(share => Allows(problem, share.Device, share.First, share.End))
        && shares[0].First == 0 && shares[^1].End == problem.Units
        && shares.Zip(shares.Skip(1)).All(pair => pair.First.End == pair.Second.First)
        && shares.Select(share => share.Device).Distinct().Count() == shares.Count;

    // As far as memory and owners go.
    private static bool Allows(PlanProblem problem, int device, int first, int end) =>
        end <= problem.MostEnd[device][first] && problem.Owner[first..end].All(owner => owner < 0 || owner == device);

    private static double[] Sums(IEnumerable<double> costs)
    {
        List<double> sums = [0];
        foreach (var cost in costs)
            sums.Add(sums[^1] + cost);
        return [.. sums];
    }

    private static string Print(PlanProblem problem) =>
        $"{problem.Units} units, {problem.Devices} devices, batches {problem.Batches}, owners {string.Join(' ', problem.Owner)}";
}
