namespace Distributed.Cluster.Config;

/// <summary>Finds what somebody meant who mistyped a name.</summary>
internal static class NearestName
{
    private const int MaxLength = 64;
    private const int MaxCompared = 256;
    private const int MaxListed = 16;

    /// <summary>
    /// The end of an error about an unknown name: the known name that is nearest by edit distance, or all known names where
    /// none is near.
    /// </summary>
    public static string Suggest(string name, IEnumerable<string> known)
    {
        var names = known.ToList();
        var nearest = names.Take(MaxCompared).Where(candidate => Math.Max(candidate.Length, name.Length) <= MaxLength)
            .MinBy(candidate => Distance(name, candidate));
        return nearest is not null && Distance(name, nearest) <= Math.Max(1, nearest.Length / 3)
            ? $": did you mean {nearest}?"
            : $"; known are {List(names)}";
    }

    /// <summary>Names with commas between them; of very many or very long ones, only so much.</summary>
    public static string List(IReadOnlyList<string> names) =>
        string.Join(", ", names.Take(MaxListed).Select(ConfigBinder.Printable)) + (names.Count > MaxListed ? " …" : "");

    // Optimal string alignment: insertions, deletions, replacements and swaps of neighbours count one each.
    private static int Distance(string a, string b)
    {
        var cost = new int[a.Length + 1, b.Length + 1];
        for (var i = 0; i <= a.Length; i++)
        {
            for (var j = 0; j <= b.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    cost[i, j] = i + j;
                    continue;
                }

                var replace = cost[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                cost[i, j] = Math.Min(replace, 1 + Math.Min(cost[i - 1, j], cost[i, j - 1]));
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                    cost[i, j] = Math.Min(cost[i, j], cost[i - 2, j - 2] + 1);
            }
        }

        return cost[a.Length, b.Length];
    }
}
