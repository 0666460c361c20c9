using System.Globalization;

namespace Distributed.Core;

/// <summary>Amounts of memory as people write them: <c>512MiB</c>, <c>1.5GiB</c>. Units are binary.</summary>
public static class ByteSize
{
    /// <summary>What <see cref="TryParse"/> asks for, as a phrase that follows the value.</summary>
    public const string Rule = "must be a size above 0 with its unit, like 10GiB, 1.5GiB or 512MiB";

    private static readonly (string Unit, long Bytes)[] Units =
        [("TiB", 1L << 40), ("GiB", 1L << 30), ("MiB", 1L << 20), ("KiB", 1L << 10), ("B", 1)];

    /// <summary>Reads a size; a space before the unit is allowed.</summary>
    /// <returns>False for anything but a positive number with a unit from B to TiB, below 8192 TiB.</returns>
    public static bool TryParse(string text, out long bytes)
    {
        bytes = 0;
        foreach (var (unit, factor) in Units)
        {
            if (!text.EndsWith(unit, StringComparison.Ordinal))
                continue;
            var number = text[..^unit.Length].TrimEnd(' ');
            if (number.Length > 20 || !decimal.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value)
                || value > (1L << 53) / factor)
                return false;
            bytes = (long)(value * factor);
            return bytes > 0;
        }

        return false;
    }

    /// <summary>Writes a size in its largest unit, to one decimal: <c>9.2 GiB</c>, <c>512 MiB</c>, <c>17 B</c>.</summary>
    public static string Format(long bytes)
    {
        foreach (var (unit, factor) in Units)
        {
            if (Math.Abs(bytes) >= factor)
                return string.Create(CultureInfo.InvariantCulture, $"{(double)bytes / factor:0.#} {unit}");
        }

        return "0 B";
    }
}
