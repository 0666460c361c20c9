using System.Text.Json;
using Distributed.Coordinator.Tracing;

namespace Distributed.Cli.Tracing;

/// <summary>
/// Writes single trace events; times come in ns and go out in µs since the trace's beginning, in eighths: viewers add beginnings and
/// durations as binary fractions, and a bar that ends a rounding error behind the one around it is not within it any more.
/// </summary>
/// <param name="json">Where, within the array of events.</param>
/// <param name="zero">The trace's beginning, ns.</param>
internal sealed class TraceEvents(Utf8JsonWriter json, long zero)
{
    private const int StepNs = 125;

    /// <summary>What a process is called; processes are shown in the order of their numbers.</summary>
    public void NameProcess(int process, string name)
    {
        WriteMetadata("process_name", process, 0, args => args.WriteString("name", name));
        WriteMetadata("process_sort_index", process, 0, args => args.WriteNumber("sort_index", process));
    }

    /// <summary>What a row is called, and where it stands among those of its process.</summary>
    public void NameRow(int process, int row, string name, int order)
    {
        WriteMetadata("thread_name", process, row, args => args.WriteString("name", name));
        WriteMetadata("thread_sort_index", process, row, args => args.WriteNumber("sort_index", order));
    }

    /// <summary>A bar from one moment to another.</summary>
    public void Complete(
        int process, int row, string name, string category, long startNs, long endNs, StepTrace step,
        params ReadOnlySpan<(string Name, long Value)> more)
    {
        Begin('X', name, category, process, row, startNs);
        json.WriteNumber("dur", Microseconds(endNs) - Microseconds(startNs));
        json.WriteStartObject("args");
        json.WriteNumber("step", step.Step);
        json.WriteNumber("tokens", step.Tokens);
        json.WriteNumber("sequences", step.Slices.Count);
        foreach (var (key, value) in more)
            json.WriteNumber(key, value);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>A point of a step's arrow: <c>s</c> begins it, <c>t</c> goes through, <c>f</c> ends it.</summary>
    public void Flow(char phase, int process, int row, long atNs, long step)
    {
        Begin(phase, "step", "flow", process, row, atNs);
        json.WriteNumber("id", step);
        if (phase != 's')
            json.WriteString("bp", "e");
        json.WriteEndObject();
    }

    private void Begin(char phase, string name, string category, int process, int row, long atNs)
    {
        json.WriteStartObject();
        json.WriteString("ph", [phase]);
        json.WriteString("name", name);
        json.WriteString("cat", category);
        json.WriteNumber("pid", process);
        json.WriteNumber("tid", row);
        json.WriteNumber("ts", Microseconds(atNs));
    }

    private decimal Microseconds(long ns) => (ns - zero) / StepNs * StepNs / 1000m;

    private void WriteMetadata(string name, int process, int row, Action<Utf8JsonWriter> args)
    {
        json.WriteStartObject();
        json.WriteString("ph", "M");
        json.WriteString("name", name);
        json.WriteNumber("pid", process);
        json.WriteNumber("tid", row);
        json.WriteStartObject("args");
        args(json);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
