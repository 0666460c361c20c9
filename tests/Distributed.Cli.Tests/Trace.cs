using System.Text.Json;

namespace Distributed.Cli.Tests;

/// <summary>A bar of a trace file.</summary>
internal sealed record TraceBar(string Name, string Category, int Process, int Row, decimal Start, decimal Duration, JsonElement Args)
{
    public decimal End => Start + Duration;

    public long Step => Args.GetProperty("step").GetInt64();

    /// <summary>The stage; null for the coordinator's bars.</summary>
    public int? Stage => Args.TryGetProperty("stage", out var stage) ? stage.GetInt32() : null;
}

/// <summary>A trace file as a viewer reads it; times in µs.</summary>
internal sealed class Trace
{
    private Trace(JsonElement root)
    {
        About = root.GetProperty("otherData");
        Events = [.. root.GetProperty("traceEvents").EnumerateArray()];
        Bars =
        [
            .. Events.Where(one => one.GetProperty("ph").GetString() == "X").Select(one => new TraceBar(
                one.GetProperty("name").GetString()!, one.GetProperty("cat").GetString()!, one.GetProperty("pid").GetInt32(),
                one.GetProperty("tid").GetInt32(), one.GetProperty("ts").GetDecimal(), one.GetProperty("dur").GetDecimal(),
                one.GetProperty("args"))),
        ];
        Assert.All(Bars, bar => Assert.True(bar.Duration >= 0, $"{bar}"));
    }

    public JsonElement About { get; }

    public IReadOnlyList<JsonElement> Events { get; }

    public IReadOnlyList<TraceBar> Bars { get; }

    /// <summary>One bar per step, from the token before to its own.</summary>
    public IEnumerable<TraceBar> Tokens => Bars.Where(bar => bar.Category == "token");

    public static Trace Read(string path) => new(JsonDocument.Parse(File.ReadAllText(path)).RootElement);

    /// <summary>The parts of a step, in the order of their beginnings.</summary>
    public IReadOnlyList<TraceBar> Parts(long step) =>
    [
        .. Bars.Where(bar => bar.Category is not ("token" or "layer") && bar.Step == step).OrderBy(bar => bar.Start).ThenBy(bar => bar.End),
    ];

    /// <summary>Names of processes, or of rows.</summary>
    public IReadOnlyList<string> Names(string kind) =>
    [
        .. Events.Where(one => one.GetProperty("name").GetString() == kind)
            .Select(one => one.GetProperty("args").GetProperty("name").GetString()!),
    ];

    /// <summary>Bars of one row lie beside each other or within each other, by the binary fractions of a viewer: anything else is drawn wrong.</summary>
    public void AssertNested()
    {
        foreach (var row in Bars.GroupBy(bar => (bar.Process, bar.Row)))
        {
            var open = new Stack<TraceBar>();
            foreach (var bar in row.OrderBy(bar => bar.Start).ThenByDescending(bar => bar.Duration))
            {
                while (open.TryPeek(out var outer) && End(outer) <= (double)bar.Start)
                    open.Pop();
                Assert.True(!open.TryPeek(out var around) || End(around) >= End(bar), $"{bar} overlaps {around}");
                open.Push(bar);
            }
        }

        static double End(TraceBar bar) => (double)bar.Start + (double)bar.Duration;
    }
}
