using System.Globalization;
using Distributed.Core;

namespace Distributed.Cluster.Links;

/// <summary>What a link between two nodes is made to be: slower than it is, for "what if".</summary>
/// <param name="Delay">How much later each byte arrives, in each direction.</param>
/// <param name="BitsPerSecond">The most bits per second in each direction; null for as many as go.</param>
public sealed record LinkShape(TimeSpan Delay, long? BitsPerSecond)
{
    /// <summary>What <see cref="TryParse"/> asks for, as a phrase that follows the value.</summary>
    public const string Rule =
        "must be delay=TIME,rate=SPEED or one of the two, like delay=1ms,rate=1Gbit: a time above 0 up to 2s in us, ms or s, "
        + "a speed from 64Kbit to 1000Gbit in Kbit, Mbit or Gbit";

    // Beyond these the pings of a node's server, which knows of no link, would take the connection for dead.
    private static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(2);
    private const double LeastRate = 64e3;

    // What lies in front of a byte where the sender is quicker than the link, besides what is on its way.
    private const int QueuedBytes = 256 << 10;

    // The longer unit first where one ends like another.
    private static readonly (string Unit, double Seconds)[] Times = [("us", 1e-6), ("ms", 1e-3), ("s", 1)];
    private static readonly (string Unit, double Bits)[] Rates = [("Kbit", 1e3), ("Mbit", 1e6), ("Gbit", 1e9)];

    /// <summary>How much longer than over a quick link a small message and its answer may take, with all that is queued in front of them.</summary>
    public TimeSpan Wait => (4 * Delay) + TimeSpan.FromSeconds(QueuedBytes * 8.0 / BitsPerSecond ?? 0);

    /// <summary>Reads a shape.</summary>
    /// <returns>False where it breaks the rule.</returns>
    public static bool TryParse(string text, out LinkShape shape)
    {
        shape = new LinkShape(TimeSpan.Zero, null);
        foreach (var part in text.Split(','))
        {
            if (part.Split('=') is not [var key, var value])
                return false;
            switch (key)
            {
                case "delay" when shape.Delay == TimeSpan.Zero && TryRead(value, Times, out var seconds)
                    && TimeSpan.FromTicks((long)Math.Round(seconds * TimeSpan.TicksPerSecond)) is var delay && delay > TimeSpan.Zero && delay <= LongestDelay:
                    shape = shape with { Delay = delay };
                    break;
                case "rate" when shape.BitsPerSecond is null && TryRead(value, Rates, out var bits) && bits is >= LeastRate and <= 1e12:
                    shape = shape with { BitsPerSecond = (long)bits };
                    break;
                default:
                    return false;
            }
        }

        return true;
    }

    /// <summary>Reads a shape; null for an empty text.</summary>
    /// <param name="key">What the shape is called where it was written, for the error.</param>
    /// <param name="text">As written.</param>
    /// <exception cref="InvalidInputException">It is none.</exception>
    public static LinkShape? Parse(string key, string text) =>
        text.Length == 0 ? null : TryParse(text, out var shape) ? shape : throw new InvalidInputException(key, text, Rule);

    /// <summary>The link between two nodes with links of their own: the longer delay and the lower rate count. Null for none.</summary>
    public static LinkShape? Between(LinkShape? a, LinkShape? b) => a is null || b is null
        ? a ?? b
        : new LinkShape(
            a.Delay > b.Delay ? a.Delay : b.Delay,
            a.BitsPerSecond is { } bits && b.BitsPerSecond is { } others ? Math.Min(bits, others) : a.BitsPerSecond ?? b.BitsPerSecond);

    /// <summary>The shape as <see cref="TryParse"/> reads it.</summary>
    public override string ToString()
    {
        var delay = Delay > TimeSpan.Zero ? string.Create(CultureInfo.InvariantCulture, $"delay={Delay.TotalMicroseconds:0.#}us") : null;
        var rate = BitsPerSecond is { } bits ? string.Create(CultureInfo.InvariantCulture, $"rate={bits / 1e3:0.###}Kbit") : null;
        return string.Join(',', new[] { delay, rate }.OfType<string>());
    }

    private static bool TryRead(string text, (string Unit, double Factor)[] units, out double value)
    {
        value = 0;
        foreach (var (unit, factor) in units)
        {
            if (!text.EndsWith(unit, StringComparison.Ordinal))
                continue;
            var isNumber = double.TryParse(text[..^unit.Length], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number);
            value = number * factor;
            return isNumber;
        }

        return false;
    }
}
