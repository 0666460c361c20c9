using System.Globalization;

namespace Distributed.Cluster.Config;

/// <summary>Times as people write them: <c>250ms</c>, <c>10s</c>, <c>2m</c>.</summary>
public static class Duration
{
    /// <summary>What <see cref="TryParse"/> asks for, as a phrase that follows the value.</summary>
    public const string Rule = "must be a time above 0 with its unit, like 250ms, 10s or 2m, and at most a day";

    private static readonly (string Unit, double Seconds)[] Units = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)];

    /// <summary>Reads a time.</summary>
    /// <returns>False for anything but a positive number with its unit, up to a day.</returns>
    public static bool TryParse(string text, out TimeSpan time)
    {
        time = default;
        foreach (var (unit, seconds) in Units)
        {
            if (!text.EndsWith(unit, StringComparison.Ordinal))
                continue;
            if (!double.TryParse(text[..^unit.Length], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value)
                || !(value * seconds is > 0 and <= 86400))
                return false;
            time = TimeSpan.FromSeconds(value * seconds);
            return time > TimeSpan.Zero;
        }

        return false;
    }
}
