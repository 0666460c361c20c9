namespace Distributed.Cli.Tracing;

/// <summary>
/// Rows for intervals that may overlap: events of one row must nest, so an interval goes to the first row that is free when it
/// begins. Intervals come in the order of their beginnings.
/// </summary>
internal sealed class Lanes
{
    private readonly List<long> _ends = [];

    /// <summary>The row, from 0, for an interval.</summary>
    public int Take(long start, long end)
    {
        var lane = _ends.FindIndex(taken => taken <= start);
        if (lane < 0)
        {
            lane = _ends.Count;
            _ends.Add(end);
        }

        _ends[lane] = end;
        return lane;
    }
}
