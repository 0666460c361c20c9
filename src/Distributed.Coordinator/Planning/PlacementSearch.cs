namespace Distributed.Coordinator.Planning;

/// <summary>What a search has found.</summary>
/// <param name="Shares">The plan, in units; null where none is allowed, or none was found (<paramref name="IsExact"/> tells which).</param>
/// <param name="Cost">Its cost; the limit where there is none.</param>
/// <param name="IsExact">No plan is better, or none exists; else the search gave up and <paramref name="Bound"/> is what none can beat.</param>
/// <param name="Bound">The least that any plan can cost.</param>
internal sealed record SearchResult(IReadOnlyList<LayerShare>? Shares, double Cost, bool IsExact, double Bound);

/// <summary>
/// Finds the plan of least cost by dynamic programming with bounds. A partial plan holds units [0, k) and is known by the set of its
/// devices and the last of them: whatever follows costs the same for all partial plans that agree in these, so of two the one whose
/// figures (A, B, core times) are all no better is dropped, and no best plan is lost. Partial plans are also dropped when a lower
/// bound of what is left (each unit on the quickest devices still free, as far as their memory goes, without the hops that
/// cannot be known yet) does not beat a plan already found; the first one comes from the same search with few partial plans kept.
/// Devices that are alike in every figure are tried in one order only. So the result is the best there is, unless the number of
/// steps reaches its limit: then it says so, and how far from the best it can be.
/// </summary>
internal sealed class PlacementSearch
{
    /// <summary>The most devices.</summary>
    public const int MaxDevices = 56;

    /// <summary>Steps of an exact search: a second or less.</summary>
    public const long DefaultSteps = 500_000;

    private const int DefaultWidth = 32;
    private const double Epsilon = 1e-12;

    private readonly PlanProblem _problem;
    private readonly int _machines;
    private readonly double[] _least;
    private readonly double[] _leastSuffix;
    private readonly double[] _slowness;
    private readonly int[] _byQuickness;
    private readonly double[][] _mostWork;
    private readonly int[] _alike;
    private readonly double _leastHop;
    private readonly double _leastOut;
    private readonly int[] _nextOwned;
    private long _steps;

    private double _bestCost;
    private IReadOnlyList<LayerShare>? _best;
    private double _openBound;

    private PlacementSearch(PlanProblem problem)
    {
        _problem = problem;
        _machines = problem.Machines;
        var (units, devices) = (problem.Units, problem.Devices);
        _least = [.. Enumerable.Range(0, units).Select(unit => Enumerable.Range(0, devices).Min(device => UnitCost(device, unit)))];
        _leastSuffix = new double[units + 1];
        for (var unit = units - 1; unit >= 0; unit--)
            _leastSuffix[unit] = _leastSuffix[unit + 1] + _least[unit];
        // How many times the least cost of a unit a device takes at best.
        _slowness = [.. Enumerable.Range(0, devices).Select(device => Enumerable.Range(0, units)
            .Where(unit => _least[unit] > 0).Select(unit => UnitCost(device, unit) / _least[unit]).DefaultIfEmpty(1).Min())];
        _byQuickness = [.. Enumerable.Range(0, devices).OrderBy(device => _slowness[device])];
        _mostWork = [.. Enumerable.Range(0, devices).Select(MostWork)];
        _alike = [.. Enumerable.Range(0, devices).Select(device => Enumerable.Range(0, device + 1).First(other => AreAlike(other, device)))];
        _leastHop = devices < 2 ? 0 : Enumerable.Range(0, devices).Min(a => Enumerable.Range(0, devices).Where(b => b != a).Min(b => problem.Hop[a][b]));
        _leastOut = problem.HopOut.Min();
        _nextOwned = new int[units + 1];
        _nextOwned[units] = units;
        for (var unit = units - 1; unit >= 0; unit--)
            _nextOwned[unit] = problem.Owner[unit] >= 0 ? unit : _nextOwned[unit + 1];
    }

    /// <summary>Searches.</summary>
    /// <param name="problem">At most <see cref="MaxDevices"/> devices.</param>
    /// <param name="known">A plan that is allowed, to begin with; null for none.</param>
    /// <param name="limit">Only plans that cost less are of interest.</param>
    /// <param name="steps">After how many steps it gives up.</param>
    /// <param name="width">Partial plans kept for each number of units when it looks for a first plan.</param>
    public static SearchResult Solve(
        PlanProblem problem, IReadOnlyList<LayerShare>? known = null, double limit = double.PositiveInfinity, long steps = DefaultSteps,
        int width = DefaultWidth)
    {
        var search = new PlacementSearch(problem) { _bestCost = limit };
        if (known is not null && problem.Cost(known) < limit)
            (search._bestCost, search._best) = (problem.Cost(known), known);
        var start = search.Bound(0, 0, -1, 0, 0, new double[search._machines], 0);
        search.Run(width, long.MaxValue);
        search._openBound = double.PositiveInfinity;
        search._steps = 0;
        var isExact = search.Run(int.MaxValue, steps);
        var bound = isExact ? search._bestCost : Math.Min(search._bestCost, Math.Max(start, search._openBound));
        return new SearchResult(search._best, search._bestCost, isExact, bound);
    }

    private sealed class Label
    {
        public ulong Used { get; init; }

        public int Last { get; init; }

        public double Sum { get; init; }

        public double Longest { get; init; }

        public required double[] Loads { get; init; }

        public int Stages { get; init; }

        public int First { get; init; }

        public Label? Before { get; init; }

        public double Bound { get; init; }

        public bool Dropped { get; set; }
    }

    // False when it gave up.
    private bool Run(int width, long steps)
    {
        var open = new Dictionary<ulong, List<Label>>[_problem.Units];
        for (var unit = 0; unit < open.Length; unit++)
            open[unit] = [];
        open[0][0] = [new Label { Last = -1, Loads = new double[_machines] }];
        for (var unit = 0; unit < open.Length; unit++)
        {
            var labels = open[unit].Values.SelectMany(list => list).Where(label => !label.Dropped && label.Bound < _bestCost - Epsilon);
            // The most promising first: plans found early let others be dropped.
            var ordered = labels.OrderBy(label => label.Bound).Take(width).ToList();
            foreach (var label in ordered)
            {
                if (label.Bound >= _bestCost - Epsilon)
                    continue;
                if (_steps > steps)
                {
                    _openBound = open.Skip(unit).SelectMany(bucket => bucket.Values.SelectMany(list => list))
                        .Where(left => !left.Dropped).Min(left => left.Bound);
                    return false;
                }

                Extend(label, unit, open);
            }

            open[unit].Clear();
        }

        return true;
    }

    private void Extend(Label label, int unit, Dictionary<ulong, List<Label>>[] open)
    {
        var problem = _problem;
        for (var device = 0; device < problem.Devices; device++)
        {
            if ((label.Used >> device & 1) != 0 || device == problem.Excluded || IsTriedElsewhere(label.Used, device))
                continue;
            var before = label.Sum + (label.Last < 0 ? problem.HopIn[device] : problem.Hop[label.Last][device]);
            var end = Math.Min(problem.MostEnd[device][unit], EndOfOwners(device, unit));
            for (var to = unit + 1; to <= end; to++)
            {
                _steps++;
                var stage = problem.Stage(device, unit, to);
                var (sum, longest) = (before + stage, Math.Max(label.Longest, stage));
                if (Math.Max(sum + _leastSuffix[to], problem.Batches * longest) >= _bestCost - Epsilon)
                    continue;
                var (used, loads) = (label.Used | (1UL << device), Add(label.Loads, device, stage));
                var bound = to == problem.Units ? 0 : Bound(to, used, device, sum, longest, loads, label.Stages + 1);
                if (bound >= _bestCost - Epsilon)
                    continue;
                var next = new Label
                {
                    Used = used,
                    Last = device,
                    Sum = sum,
                    Longest = longest,
                    Loads = loads,
                    Stages = label.Stages + 1,
                    First = unit,
                    Before = label,
                    Bound = bound,
                };
                if (to == problem.Units)
                    Finish(next);
                else
                    Keep(next, open[to]);
            }
        }
    }

    private void Finish(Label label)
    {
        if (label.Stages < _problem.Batches)
            return;
        if ((label.Used & _problem.Required) != _problem.Required)
            return;
        var cost = Cost(label.Sum + _problem.HopOut[label.Last], label.Longest, label.Loads);
        if (cost >= _bestCost - Epsilon)
            return;
        List<LayerShare> shares = [];
        var end = _problem.Units;
        for (var at = label; at.Last >= 0; at = at.Before!)
        {
            shares.Add(new LayerShare(at.Last, at.First, end));
            end = at.First;
        }

        shares.Reverse();
        (_bestCost, _best) = (cost, shares);
    }

    private static void Keep(Label label, Dictionary<ulong, List<Label>> bucket)
    {
        // The set of devices and the last of them in one number.
        var key = (label.Used << 6) | (uint)(label.Last + 1);
        if (!bucket.TryGetValue(key, out var rivals))
        {
            bucket[key] = [label];
            return;
        }

        foreach (var rival in rivals)
            if (IsNoWorse(rival, label))
                return;
        rivals.RemoveAll(rival => IsNoWorse(label, rival) && (rival.Dropped = true));
        rivals.Add(label);
    }

    private static bool IsNoWorse(Label a, Label b)
    {
        if (a.Sum > b.Sum + Epsilon || a.Longest > b.Longest + Epsilon)
            return false;
        for (var i = 0; i < a.Loads.Length; i++)
            if (a.Loads[i] > b.Loads[i] + Epsilon)
                return false;
        return true;
    }

    private double Cost(double sum, double longest, double[] loads)
    {
        var most = longest;
        foreach (var load in loads)
            most = Math.Max(most, load);
        // A single batch is in one stage at a time: its way through all of them is never shorter than any.
        return Math.Max(sum, _problem.Batches * most);
    }

    /// <summary>What any plan that begins like this costs at least; infinite where none is allowed.</summary>
    private double Bound(int unit, ulong used, int last, double before, double longest, double[] loads, int placed)
    {
        var problem = _problem;
        var work = _leastSuffix[unit];
        var (left, sum, speed, stages, largest) = (work, 0.0, 0.0, 0, 0.0);
        foreach (var device in _byQuickness)
        {
            if ((used >> device & 1) != 0 || device == problem.Excluded)
                continue;
            var most = _mostWork[device][unit];
            if (most < 0)
                continue;
            speed += 1 / _slowness[device];
            largest = Math.Max(largest, most);
            if (stages > 0 && left <= Epsilon * work)
                continue;
            var amount = Math.Min(left, most);
            sum += (amount * _slowness[device]);
            left -= amount;
            stages++;
        }

        if (stages == 0 || left > 1e-9 * Math.Max(work, Epsilon))
            return double.PositiveInfinity;
        // How many stages that makes is not known: only as many as the largest memories need are certain.
        var certain = largest <= 0 ? 1 : Math.Max(1, (int)Math.Ceiling((work / largest) - 1e-6));
        var stagesLeft = Math.Max(certain, problem.Batches - placed);
        var hops = last < 0 ? stagesLeft - 1 : stagesLeft;
        // Where no link works the least hop is infinite, and none of it nothing.
        var total = before + sum + _leastOut + (last < 0 ? problem.HopIn.Min() : 0) + (hops > 0 ? hops * _leastHop : 0);
        return problem.Batches == 1 ? total : Math.Max(Cost(total, longest, loads), problem.Batches * work / speed);
    }

    // [unit]: the most work, in least costs, that a stage of the device can hold from this unit on or from one behind it; -1 for none.
    private double[] MostWork(int device)
    {
        var most = new double[_problem.Units + 1];
        most[_problem.Units] = -1;
        for (var unit = _problem.Units - 1; unit >= 0; unit--)
        {
            var end = _problem.MostEnd[device][unit];
            most[unit] = Math.Max(most[unit + 1], end > unit ? _leastSuffix[unit] - _leastSuffix[end] : -1);
        }

        return most;
    }

    private int EndOfOwners(int device, int unit)
    {
        for (var owned = _nextOwned[unit]; owned < _problem.Units; owned = _nextOwned[owned + 1])
            if (_problem.Owner[owned] != device)
                return owned;
        return _problem.Units;
    }

    private double[] Add(double[] loads, int device, double stage)
    {
        if (_problem.Machine[device] < 0)
            return loads;
        var sum = (double[])loads.Clone();
        sum[_problem.Machine[device]] += stage * _problem.CoreShare[device];
        return sum;
    }

    private bool IsTriedElsewhere(ulong used, int device)
    {
        for (var other = _alike[device]; other < device; other++)
            if (_alike[other] == _alike[device] && (used >> other & 1) == 0)
                return true;
        return false;
    }

    private bool AreAlike(int a, int b)
    {
        var p = _problem;
        if (a == b)
            return true;
        if (((p.Required >> a | p.Required >> b) & 1) != 0 || p.Excluded == a || p.Excluded == b || p.Owner.Contains(a) || p.Owner.Contains(b))
            return false;
        if (p.Machine[a] != p.Machine[b] || p.CoreShare[a] != p.CoreShare[b] || p.StageCost[a] != p.StageCost[b]
            || p.HopIn[a] != p.HopIn[b] || p.HopOut[a] != p.HopOut[b] || p.Hop[a][b] != p.Hop[b][a])
            return false;
        for (var other = 0; other < p.Devices; other++)
            if (other != a && other != b && (p.Hop[a][other] != p.Hop[b][other] || p.Hop[other][a] != p.Hop[other][b]))
                return false;
        return p.Prefix[a].AsSpan().SequenceEqual(p.Prefix[b]) && p.MostEnd[a].AsSpan().SequenceEqual(p.MostEnd[b]);
    }

    private double UnitCost(int device, int unit) => _problem.Prefix[device][unit + 1] - _problem.Prefix[device][unit];
}
