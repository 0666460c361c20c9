namespace Distributed.Coordinator.Planning;

/// <summary>
/// The planner's question in figures alone. A row of <see cref="Units"/> units (embedding, layers, LM head) is cut into contiguous
/// runs, each on a device of its own, in any order of devices. A plan's figures are A, the time of one batch on its way through all
/// stages and hops; B, the longest stage; and for each machine whose workers share too few cores the sum of its stages' core time.
/// Its cost is the time in which every sequence gets a token: max(A, m·B, m·sum), with m batches in flight.
/// </summary>
internal sealed record PlanProblem
{
    /// <summary>Units.</summary>
    public required int Units { get; init; }

    /// <summary>Devices.</summary>
    public int Devices => StageCost.Length;

    /// <summary>Batches in flight, at most one per stage at a time: a plan has as many stages or more.</summary>
    public required int Batches { get; init; }

    /// <summary>[device][u]: seconds of units [0, u) on the device; Units + 1 entries, the first of them 0.</summary>
    public required double[][] Prefix { get; init; }

    /// <summary>[device]: seconds of a stage besides its units.</summary>
    public required double[] StageCost { get; init; }

    /// <summary>[device][u]: one past the last unit of the longest stage from u on that fits the device's memory; u for none.</summary>
    public required int[][] MostEnd { get; init; }

    /// <summary>[from][to]: seconds of a hop between two devices; infinite where the link does not work, as for the next two.</summary>
    public required double[][] Hop { get; init; }

    /// <summary>[device]: seconds from the coordinator.</summary>
    public required double[] HopIn { get; init; }

    /// <summary>[device]: seconds back to the coordinator.</summary>
    public required double[] HopOut { get; init; }

    /// <summary>[unit]: the device it must lie on; -1 for any.</summary>
    public required int[] Owner { get; init; }

    /// <summary>[device]: the machine whose cores it shares with others, from 0; -1 where there are enough for all.</summary>
    public required int[] Machine { get; init; }

    /// <summary>[device]: the part of its machine's cores that it computes with, at most 1.</summary>
    public required double[] CoreShare { get; init; }

    /// <summary>Devices that must all be used, a bit for each.</summary>
    public ulong Required { get; init; }

    /// <summary>A device that must not be used; null for none.</summary>
    public int? Excluded { get; init; }

    /// <summary>Machines with too few cores.</summary>
    public int Machines => Machine.Max() + 1;

    /// <summary>Seconds of units [first, end) as a stage of a device.</summary>
    public double Stage(int device, int first, int end) => StageCost[device] + Prefix[device][end] - Prefix[device][first];

    /// <summary>The cost of a plan that is allowed.</summary>
    public double Cost(IReadOnlyList<LayerShare> shares)
    {
        var (sum, longest) = (HopIn[shares[0].Device] + HopOut[shares[^1].Device], 0.0);
        var loads = new double[Machines];
        for (var i = 0; i < shares.Count; i++)
        {
            var (device, first, end) = shares[i];
            var stage = Stage(device, first, end);
            sum += stage + (i > 0 ? Hop[shares[i - 1].Device][device] : 0);
            longest = Math.Max(longest, stage);
            if (Machine[device] >= 0)
                loads[Machine[device]] += stage * CoreShare[device];
        }

        return Math.Max(sum, Batches * Math.Max(longest, loads.Length > 0 ? loads.Max() : 0));
    }
}
