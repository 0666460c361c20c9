using System.Globalization;

namespace Distributed.Cluster.Config;

/// <summary>Layers as a cluster file writes them, both ends included: <c>0-9</c>, or <c>3</c> for a single one.</summary>
/// <param name="First">The first layer, from 0.</param>
/// <param name="Last">The last layer, not before <paramref name="First"/>.</param>
public readonly record struct LayerRange(int First, int Last)
{
    /// <summary>What <see cref="TryParse"/> asks for, as a phrase that follows the value.</summary>
    public const string Rule = "must be one layer, like 3, or a range with both ends included, like 0-9";

    /// <summary>One past the last layer.</summary>
    public int End => Last + 1;

    /// <summary>Reads a range.</summary>
    /// <returns>False where it is none, runs backwards or names a layer from 100,000 on.</returns>
    public static bool TryParse(string text, out LayerRange range)
    {
        range = default;
        var dash = text.IndexOf('-');
        if (!TryLayer(dash < 0 ? text : text.AsSpan(0, dash), out var first))
            return false;
        var last = first;
        if (dash >= 0 && !TryLayer(text.AsSpan(dash + 1), out last))
            return false;
        range = new LayerRange(first, last);
        return first <= last;

        static bool TryLayer(ReadOnlySpan<char> text, out int layer) =>
            int.TryParse(text.Trim(' '), NumberStyles.None, CultureInfo.InvariantCulture, out layer) && layer < 100_000;
    }

    /// <inheritdoc/>
    public override string ToString() => First == Last ? $"{First}" : $"{First}-{Last}";
}
