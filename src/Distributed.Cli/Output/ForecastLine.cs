using System.Globalization;
using System.Text;
using Distributed.Coordinator.Scheduling;

namespace Distributed.Cli.Output;

/// <summary>The line behind an answer's figures: what the plan predicted for it, beside what was measured.</summary>
internal static class ForecastLine
{
    /// <summary>The line; where decode or prefill is off by more than a quarter, it says which term was wrong.</summary>
    public static string Of(GenerationForecast forecast)
    {
        var line = new StringBuilder("predicted/measured: ");
        List<string> parts = [];
        if (forecast.Decode is { } decode)
        {
            parts.Add($"decode {Pair(decode)} per token ({Percent(decode)})");
            parts.Add(string.Join(", ", forecast.Terms.Select(term => $"{term.Term} {Pair(term)}")));
        }

        if (forecast.Prefill is { } prefill)
            parts.Add($"prefill {Pair(prefill)} ({Percent(prefill)})");
        line.AppendJoin(" · ", parts);
        if (forecast.Wrong() is { } wrong)
            line.Append(CultureInfo.InvariantCulture, $" · wrong: {wrong.Term}, off by {Units.Milliseconds(Math.Abs(wrong.PredictedMs - wrong.MeasuredMs))}");
        if (forecast.WrongPrefill() is { } off)
            line.Append(CultureInfo.InvariantCulture, $" · wrong: {off.Term}, off by {Units.Milliseconds(Math.Abs(off.PredictedMs - off.MeasuredMs))}");
        return line.ToString();
    }

    private static string Pair(PredictedAndMeasured pair) =>
        string.Create(CultureInfo.InvariantCulture, $"{pair.PredictedMs:0.00}/{Units.Milliseconds(pair.MeasuredMs)}");

    private static string Percent(PredictedAndMeasured pair) =>
        string.Create(CultureInfo.InvariantCulture, $"{100 * pair.Error:+0;-0;0} %");
}
