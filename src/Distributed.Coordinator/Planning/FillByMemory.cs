namespace Distributed.Coordinator.Planning;

/// <summary>Layers that go to one device.</summary>
/// <param name="Device">The device's index.</param>
/// <param name="First">The first layer.</param>
/// <param name="End">One past the last layer.</param>
internal readonly record struct LayerShare(int Device, int First, int End);

/// <summary>
/// Splits layers over devices in proportion to their free memory. Of all splits that fit, keeping the devices' order, the one
/// that leaves out the fewest devices, and among these the one with the least sum of used² / free: that sum is least where
/// every device is filled to the same part. Found by dynamic programming over (devices seen, layers placed), so it is the best
/// there is, and no result means that no split fits.
/// </summary>
internal static class FillByMemory
{
    private readonly record struct Best(int Skipped, double Cost, int From) : IComparable<Best>
    {
        public static readonly Best None = new(int.MaxValue, double.PositiveInfinity, -1);

        public int CompareTo(Best other) => (Skipped, Cost).CompareTo((other.Skipped, other.Cost));
    }

    /// <summary>The split, in the order of the layers; null where none fits.</summary>
    /// <param name="layers">How many layers there are.</param>
    /// <param name="free">Free memory per device, in bytes.</param>
    /// <param name="bytes">What a stage of layers [first, end) takes, in bytes; grows with the range.</param>
    public static IReadOnlyList<LayerShare>? Split(int layers, IReadOnlyList<long> free, Func<int, int, long> bytes)
    {
        // best[d, k]: layers [0, k) on the first d devices. From is where the last of them begins; k itself where it is left out.
        var best = new Best[free.Count + 1, layers + 1];
        var taken = new long[layers + 1, layers + 1];
        for (var k = 1; k <= layers; k++)
            best[0, k] = Best.None;
        for (var d = 0; d < free.Count; d++)
        {
            for (var k = 0; k <= layers; k++)
            {
                var reached = best[d, k];
                best[d + 1, k] = reached.Skipped == int.MaxValue ? Best.None : reached with { Skipped = reached.Skipped + 1, From = k };
            }

            // From the back, so that of equal splits the one with more layers up front is kept.
            for (var j = layers - 1; j >= 0; j--)
            {
                if (best[d, j].Skipped == int.MaxValue)
                    continue;
                for (var k = j + 1; k <= layers; k++)
                {
                    if (taken[j, k] == 0)
                        taken[j, k] = bytes(j, k);
                    if (taken[j, k] > free[d])
                        break;
                    var candidate = new Best(best[d, j].Skipped, best[d, j].Cost + ((double)taken[j, k] * taken[j, k] / free[d]), j);
                    if (candidate.CompareTo(best[d + 1, k]) < 0)
                        best[d + 1, k] = candidate;
                }
            }
        }

        return best[free.Count, layers].Skipped == int.MaxValue ? null : Trace(best, free.Count, layers);
    }

    private static List<LayerShare> Trace(Best[,] best, int devices, int layers)
    {
        List<LayerShare> shares = [];
        for (var (d, k) = (devices, layers); d > 0; d--)
        {
            var from = best[d, k].From;
            if (from < k)
                shares.Add(new LayerShare(d - 1, from, k));
            k = from;
        }

        shares.Reverse();
        return shares;
    }
}
