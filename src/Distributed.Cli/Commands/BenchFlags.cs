using System.CommandLine;
using System.CommandLine.Parsing;
using Distributed.Cli.Bench;
using Distributed.Core;
using Distributed.Worker;

namespace Distributed.Cli.Commands;

/// <summary>The flags of <c>bench</c>.</summary>
internal static class BenchFlags
{
    private const int MaxTokens = 1 << 20;
    private const int MaxSequences = 256;
    private const int MaxRepeats = 1000;
    private const int DefaultPrefill = 512;
    private const int DefaultDecode = 32;
    private const int DefaultBatch = 512;
    private const int DefaultRepeats = 5;

    /// <summary>Random weights: <c>SHAPE:TYPE</c>; null for a model.</summary>
    public static Option<string?> Synthetic { get; } = Flag.Text(
        "--synthetic", "SHAPE:TYPE", "Random weights instead of a model: llama-1b:q4_0, or layers=22,hidden=2048,ffn=5632,heads=32,kv=4:q4_0");

    /// <summary>Where to write the random weights; null for nowhere.</summary>
    public static Option<string?> Save { get; } = Flag.Text(
        "--save", "FILE", "Write the random weights as a GGUF file; without --prefill, --decode and --startup nothing else is done");

    /// <summary>The seed of random weights; null for the default.</summary>
    public static Option<int?> Seed { get; } = Flag.Whole("--seed", "The same seed gives the same weights (default 1)", 0, int.MaxValue);

    /// <summary>Time the start of processes.</summary>
    public static Option<bool> Startup { get; } = Flag.Switch(
        "--startup", "Time new processes up to their first token instead, beside reading the file from the page cache");

    /// <summary>Be one of these processes.</summary>
    public static Option<bool> StartupProbe { get; } = Flag.Switch(StartupRun.ProbeFlag, "Be one of these processes");

    private static readonly Option<int[]?> Prefill =
        Flag.Wholes("--prefill", $"Tokens of the prompts (default {DefaultPrefill}; 0 for none)", 0, MaxTokens, "-p");

    private static readonly Option<int[]?> Decode =
        Flag.Wholes("--decode", $"Tokens of the answers (default {DefaultDecode}; 0 for none)", 0, MaxTokens, "-n");

    private static readonly Option<int[]?> Depth = Flag.Wholes("--depth", "Tokens that are there before (default 0)", 0, MaxTokens, "-d");

    private static readonly Option<int[]?> Threads = Flag.Wholes(
        "--threads", "Threads that compute, in each worker if there are any (default all cores)", 1, CommonOptions.MaxThreads, "-t");

    private static readonly Option<int[]?> Sequences =
        Flag.Wholes("--sequences", "Sequences decoded side by side (default 1)", 1, MaxSequences, "-s");

    private static readonly Option<int?> Batch =
        Flag.Whole("--batch", $"The most tokens in a step (default {DefaultBatch})", 1, StageSpec.LargestBatch, "-b");

    private static readonly Option<int?> Repeat =
        Flag.Whole("--repeat", $"Timed runs of each test (default {DefaultRepeats})", 1, MaxRepeats, "-r");

    private static readonly Option<int?> Workers = Flag.Whole(
        "--workers", "Worker processes to start for this command (default 0: compute in this process)", 0, CommonOptions.MaxLocalWorkers);

    static BenchFlags()
    {
        Synthetic.NotBeside(CommonOptions.Model);
        foreach (var option in (Option[])[Prefill, Decode, Depth, Sequences, Batch, Workers])
            option.NotBeside(Startup, ", which times one token of one sequence in a process");
        Startup.NotBeside(CommonOptions.Device, ", whose kernels are compiled when they are first used");
        StartupProbe.Hidden = true;
        Save.Needs(Synthetic);
        Seed.Needs(Synthetic);
    }

    /// <summary>Adds the flags to the verb.</summary>
    public static void AddTo(Command verb)
    {
        foreach (var option in (Option[])
            [
                CommonOptions.Model, Synthetic, Save, Seed, Prefill, Decode, Depth, Threads, Sequences, Batch, Repeat, Workers,
                CommonOptions.Memory, Startup, StartupProbe, CommonOptions.KvType, CommonOptions.Wire, CommonOptions.Link, CommonOptions.Device, CommonOptions.Json, CommonOptions.LogLevel,
            ])
            verb.Options.Add(option);
    }

    /// <summary>What to time; null when weights are to be written and nothing else.</summary>
    /// <exception cref="InvalidInputException">There is nothing to time.</exception>
    public static BenchOptions? Read(ParseResult flags)
    {
        if (flags.GetResult(Save) is not null && flags.GetResult(Prefill) is null && flags.GetResult(Decode) is null
            && !flags.GetValue(Startup))
        {
            CheckNothingIsTimed(flags);
            return null;
        }

        ClusterFlags.CheckWorkers(flags, flags.GetValue(Workers) ?? 0);
        var device = LocalDevice.NameIn(flags);
        var isCpu = device == DeviceInventory.Cpu;
        if (!isCpu && flags.GetResult(Threads) is { } threads)
            throw new InvalidInputException(
                Threads.Name, threads.Tokens[0].Value, $"cannot stand beside {CommonOptions.Device.Name} {device}, which has none");
        var tests = BenchTest.All(
            flags.Values(Prefill, DefaultPrefill), flags.Values(Decode, DefaultDecode), flags.Values(Depth, 0), flags.Values(Sequences, 1));
        return tests.Count == 0
            ? throw new InvalidInputException(Prefill.Name, "0", $"leaves nothing to time beside {Decode.Name} 0")
            : new BenchOptions(
                tests,
                isCpu ? flags.Values(Threads, Environment.ProcessorCount) : [0],
                flags.GetValue(Repeat) ?? DefaultRepeats,
                flags.GetValue(Batch) ?? DefaultBatch,
                flags.GetValue(Workers) ?? 0,
                flags.GetValue(CommonOptions.KvType) ?? CommonOptions.Defaults.KvType,
                flags.GetValue(CommonOptions.Wire) ?? CommonOptions.Defaults.Wire,
                flags.GetValue(CommonOptions.Link))
            { WorkerMemory = CommonOptions.MemoryIn(flags), Device = device };
    }

    private static void CheckNothingIsTimed(ParseResult flags)
    {
        Option[] timed = [Depth, Threads, Sequences, Batch, Repeat, Workers, CommonOptions.Memory, CommonOptions.KvType, CommonOptions.Wire, CommonOptions.Link, CommonOptions.Device];
        var errors = timed.Select(option => flags.GetResult(option)).OfType<OptionResult>()
            .Select(given => new InputError(
                given.Option.Name, given.Tokens[0].Value,
                $"needs {Prefill.Name}, {Decode.Name} or {Startup.Name} beside {Save.Name}, which else writes the weights and times nothing"))
            .ToList();
        if (errors.Count > 0)
            throw new InvalidInputException(errors);
    }
}
