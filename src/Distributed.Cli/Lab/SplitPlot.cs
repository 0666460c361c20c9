using ScottPlot;
using ScottPlot.Plottables;
using ScottPlot.TickGenerators;

namespace Distributed.Cli.Lab;

/// <summary>ms/token over the layers on device a, a panel per phase.</summary>
/// <param name="model">The model.</param>
/// <param name="a">The first device.</param>
/// <param name="b">The second one.</param>
internal sealed class SplitPlot(LabModel model, SplitDevice a, SplitDevice b)
{
    /// <summary>Writes <c>split.png</c> and <c>split.svg</c>.</summary>
    public void Save(LabFolder folder, IReadOnlyList<SplitRow> rows)
    {
        var medians = SplitMedian.Of(rows);
        string[] phases = [.. medians.Select(median => median.Phase).Distinct()];
        LabPlot.Save(folder, "split", [.. phases.Select(phase => Panel(
            [.. medians.Where(median => median.Phase == phase)], [.. rows.Where(row => row.Phase == phase)]))]);
    }

    private Plot Panel(SplitMedian[] medians, SplitRow[] rows)
    {
        var first = medians[0];
        var plot = LabPlot.Panel(
            $"{model.Name}, {model.Type}: {first.Phase} of {first.Tokens} tokens",
            $"layers on a: {a}\n(the rest of {model.Layers} on b: {b})",
            "ms per token");
        Spread(plot, medians);
        Line(plot, medians, median => median.ComputeMsA, "compute on a", LabPlot.Colors.Orange);
        Line(plot, medians, median => median.ComputeMsB, "compute on b", LabPlot.Colors.Green);
        Line(plot, medians, median => (median.HopMs ?? 0) + median.CoordinatorMs, "hop and coordinator", LabPlot.Colors.Purple);
        var dots = plot.Add.ScatterPoints(
            rows.Select(row => (double)row.LayersA).ToArray(), rows.Select(row => row.MsPerToken).ToArray(),
            LabPlot.Colors.Blue.WithAlpha(0.35));
        (dots.MarkerSize, dots.LegendText) = (5, "each measurement");
        Line(plot, medians, median => median.MsPerToken, "measured, median", LabPlot.Colors.Blue, 2.5f, MarkerShape.FilledCircle);
        Line(plot, medians, median => median.PredictedMsPerToken, "predicted", LabPlot.Colors.Black, 2, MarkerShape.OpenSquare)
            ?.LinePattern = LinePattern.Dashed;
        plot.Axes.Bottom.TickGenerator = new NumericFixedInterval(Math.Max(1, (model.Layers + 19) / 20));
        var highest = rows.Max(row => Math.Max(row.MsPerToken, row.PredictedMsPerToken ?? 0));
        plot.Axes.SetLimits(-0.02 * model.Layers, 1.02 * model.Layers, 0, 1.1 * highest);
        plot.ShowLegend(Edge.Bottom).Legend.Orientation = Orientation.Horizontal;
        return plot;
    }

    // From the quickest measurement to the slowest.
    private static void Spread(Plot plot, SplitMedian[] medians)
    {
        var band = plot.Add.FillY(
            [.. medians.Select(median => (double)median.LayersA)], [.. medians.Select(median => median.Min)],
            [.. medians.Select(median => median.Max)]);
        band.FillColor = LabPlot.Colors.Blue.WithAlpha(0.15);
        band.LineColor = ScottPlot.Colors.Transparent;
        band.LegendText = "min to max";
    }

    private static Scatter? Line(
        Plot plot, SplitMedian[] medians, Func<SplitMedian, double?> value, string name, Color color, float width = 1.5f,
        MarkerShape marker = MarkerShape.None)
    {
        var known = medians.Where(median => value(median) is not null).ToList();
        if (known.Count == 0)
            return null;
        var line = plot.Add.Scatter(
            known.Select(median => (double)median.LayersA).ToArray(), known.Select(median => value(median)!.Value).ToArray(), color);
        (line.LegendText, line.LineWidth, line.MarkerShape) = (name, width, marker);
        line.MarkerSize = marker == MarkerShape.None ? 0 : 7;
        return line;
    }
}
