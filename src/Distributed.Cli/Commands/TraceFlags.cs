using System.CommandLine;
using Distributed.Cli.Tracing;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary>The flags that ask for a trace of every step.</summary>
internal static class TraceFlags
{
    private static readonly Option<string?> Trace = Flag.Text(
        "--trace", "FILE", "Write where the time of every token went, for ui.perfetto.dev (Chrome trace events, JSON)");

    private static readonly Option<bool> Layers = Flag.Switch("--trace-layers", "Trace each layer's part of a stage, too");

    static TraceFlags() => Layers.Needs(Trace);

    /// <summary>Adds the flags to a verb.</summary>
    public static void AddTo(Command verb)
    {
        verb.Options.Add(Trace);
        verb.Options.Add(Layers);
    }

    /// <summary>Opens the file; null where none is asked for.</summary>
    /// <exception cref="InvalidInputException">It cannot be written.</exception>
    public static TraceFile? Open(ParseResult flags) =>
        flags.GetValue(Trace) is { } path ? new TraceFile(Trace.Name, path, flags.GetValue(Layers)) : null;
}
