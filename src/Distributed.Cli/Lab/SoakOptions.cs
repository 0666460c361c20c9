using Distributed.Cli.Bench;

namespace Distributed.Cli.Lab;

/// <summary>What <c>lab soak</c> does.</summary>
/// <param name="Model">The model's file.</param>
/// <param name="Minutes">How long something fails, in minutes; what it takes to start and to let answers end comes on top.</param>
/// <param name="Interval">The mean time from one failure to the next, in seconds.</param>
/// <param name="Workers">Worker processes.</param>
/// <param name="Threads">Threads of each.</param>
/// <param name="WorkerMemory">What stages may take on each, in bytes: enough for the whole model, so that one worker alone can go on.</param>
/// <param name="Streams">Answers at once.</param>
/// <param name="MaxTokens">The longest answer, in tokens.</param>
/// <param name="Seed">What is done when is drawn from it; how long things take is not.</param>
internal sealed record SoakOptions(
    string Model, double Minutes, double Interval, int Workers, int Threads, long WorkerMemory, int Streams, int MaxTokens, int Seed);

/// <summary>What a soak was made with, as it is on record.</summary>
/// <param name="Arguments">The command line, without the program's name.</param>
/// <param name="Settings">The settings, defaults included.</param>
internal sealed record SoakSetup(IReadOnlyList<string> Arguments, SoakOptions Settings)
{
    /// <summary>The experiment.</summary>
    public string Experiment { get; } = "soak";

    /// <summary>The version of the program.</summary>
    public string Version { get; } = typeof(LabFolder).Assembly.GetName().Version?.ToString(3) ?? "";

    /// <summary>When it began.</summary>
    public DateTimeOffset Date { get; } = DateTimeOffset.Now;

    /// <summary>Where the command ran.</summary>
    public Machine Machine { get; } = Machine.This;
}
