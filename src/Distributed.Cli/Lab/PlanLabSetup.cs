using Distributed.Cli.Bench;
using Distributed.Cli.Commands;

namespace Distributed.Cli.Lab;

/// <summary>What <c>lab plan</c> was made with: every model with every number of workers and threads.</summary>
/// <param name="Arguments">The command line, without the program's name.</param>
/// <param name="Models">Random weights, each <c>SHAPE:TYPE</c>.</param>
/// <param name="Workers">Numbers of worker processes.</param>
/// <param name="Threads">Numbers of threads of each.</param>
/// <param name="Prefill">Tokens of the prompt.</param>
/// <param name="Decode">Tokens of the answer.</param>
/// <param name="Repeats">Runs that count.</param>
/// <param name="Links">What the links were made to be, as the flag has it.</param>
internal sealed record PlanLabSetup(
    IReadOnlyList<string> Arguments, IReadOnlyList<string> Models, int[] Workers, int[] Threads, int Prefill, int Decode, int Repeats,
    IReadOnlyList<string> Links)
{
    /// <summary>The experiment.</summary>
    public string Experiment { get; } = "plan";

    /// <summary>The version of the program.</summary>
    public string Version { get; } = typeof(LabFolder).Assembly.GetName().Version?.ToString(3) ?? "";

    /// <summary>When it began.</summary>
    public DateTimeOffset Date { get; } = DateTimeOffset.Now;

    /// <summary>Where the command ran.</summary>
    public Machine Machine { get; } = Machine.This;

    /// <summary>The same work as a bench does, to count its memory.</summary>
    public BenchOptions ToBench() => new(
        [new BenchTest(TestKind.Prefill, Prefill, 0, 1), new BenchTest(TestKind.Decode, Decode, Prefill, 1)],
        Threads, Repeats, CommonOptions.Defaults.MaxBatchTokens, 0, CommonOptions.Defaults.KvType, CommonOptions.Defaults.Wire, null);
}
