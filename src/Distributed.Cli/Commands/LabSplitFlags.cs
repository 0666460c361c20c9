using System.CommandLine;
using Distributed.Cli.Lab;
using Distributed.Cluster.Config;
using Distributed.Core;
using Distributed.Worker;

namespace Distributed.Cli.Commands;

/// <summary>The flags of <c>lab split</c>.</summary>
internal static class LabSplitFlags
{
    private const int MaxTokens = 1 << 20;
    private const int DefaultPrefill = 512;
    private const int DefaultDecode = 32;
    private const int DefaultRepeats = 5;
    private const int DefaultSeed = 1;

    /// <summary>The folder for the results; null for one named after the time.</summary>
    public static Option<string?> Out { get; } =
        Flag.Text("--out", "DIR", "A new folder for the results (default lab-split-DATE-TIME below the current one)");

    private static readonly Option<string?> A = Flag.Text("--a", "WORKER[/DEVICE]", "The device that takes the first layers, of the cluster file");

    private static readonly Option<string?> B = Flag.Text("--b", "WORKER[/DEVICE]", "The device that takes the rest");

    private static readonly Option<int[]?> Threads = Flag.Wholes(
        "--threads", "Threads of the two workers started here, one number for both or two (default half of the cores each)", 1,
        CommonOptions.MaxThreads, "-t");

    private static readonly Option<int?> Prefill = Flag.Whole(
        "--prefill", $"Tokens of the prompt (default {DefaultPrefill}, or what the context leaves)", 1, MaxTokens, "-p");

    private static readonly Option<int?> Decode =
        Flag.Whole("--decode", $"Tokens of the answer (default {DefaultDecode})", 1, MaxTokens, "-n");

    private static readonly Option<int?> Batch = Flag.Whole(
        "--batch", $"The most tokens in a step (default {CommonOptions.Defaults.MaxBatchTokens})", 1, StageSpec.LargestBatch, "-b");

    private static readonly Option<int?> Step = Flag.Whole("--step", "Split at every so many layers (default 1)", 1, 1024);

    private static readonly Option<int?> Repeat =
        Flag.Whole("--repeat", $"Measurements of each split (default {DefaultRepeats})", 1, 1000, "-r");

    private static readonly Option<int?> Seed =
        Flag.Whole("--seed", $"The same seed gives the same order, tokens and random weights (default {DefaultSeed})", 0, int.MaxValue);

    static LabSplitFlags()
    {
        Threads.NotBeside(CommonOptions.Cluster, ", whose workers run already");
        Threads.Validators.Add(flags =>
        {
            if (!flags.Implicit && flags.Tokens.Count > 0 && flags.Tokens[0].Value.Count(letter => letter == ',') > 1)
                flags.AddError(new InputError(Threads.Name, flags.Tokens[0].Value, "must be one number or two, separated by a comma").ToString());
        });
        foreach (var device in (Option[])[A, B])
            device.Needs(CommonOptions.Cluster);
    }

    /// <summary>Adds the flags to the verb.</summary>
    public static void AddTo(Command verb)
    {
        foreach (var option in (Option[])
            [
                CommonOptions.Model, BenchFlags.Synthetic, CommonOptions.Cluster, CommonOptions.Device, A, B, Threads, Prefill, Decode, Batch, Step, Repeat, Seed,
                Out, CommonOptions.KvType, CommonOptions.Wire, CommonOptions.Link, CommonOptions.Json, CommonOptions.LogLevel,
                CommonOptions.TlsFolder, CommonOptions.Insecure,
            ])
            verb.Options.Add(option);
    }

    /// <summary>The seed.</summary>
    public static int ReadSeed(ParseResult flags) => flags.GetValue(Seed) ?? DefaultSeed;

    /// <summary>What to measure on a model, and on which two devices.</summary>
    /// <param name="flags">The flags.</param>
    /// <param name="model">The model's shape.</param>
    /// <param name="cluster">The cluster file; null for worker processes started here.</param>
    /// <exception cref="InvalidInputException">It does not go with the model, or the cluster has no such workers; everything that is wrong.</exception>
    public static (SplitOptions Options, SplitTargetFlags Target) Read(ParseResult flags, ModelConfig model, ClusterConfig? cluster)
    {
        var errors = new List<InputError>();
        var options = ReadOptions(flags, model, cluster, errors);
        var target = ReadTarget(flags, cluster, errors);
        return errors.Count > 0 ? throw new InvalidInputException(errors) : (options, target);
    }

    private static SplitOptions ReadOptions(ParseResult flags, ModelConfig model, ClusterConfig? cluster, List<InputError> errors)
    {
        var decode = flags.GetValue(Decode) ?? Math.Min(DefaultDecode, Math.Max(1, model.ContextLength / 4));
        var prefill = flags.GetValue(Prefill) ?? Math.Clamp(model.ContextLength - decode, 1, DefaultPrefill);
        if (prefill + decode > model.ContextLength)
        {
            var (key, value, other) = prefill >= model.ContextLength || flags.GetValue(Decode) is null
                ? (Prefill.Name, prefill, $"{Decode.Name} {decode}")
                : (Decode.Name, decode, $"{Prefill.Name} {prefill}");
            errors.Add(new InputError(key, $"{value}", $"must fit the context of {model.ContextLength} tokens together with {other}"));
        }

        if (flags.GetValue(Step) is { } step && step > model.NumLayers)
            errors.Add(new InputError(Step.Name, $"{step}", $"must be at most {model.NumLayers}, the layers of {model.Name}"));
        var kvType = flags.GetValue(CommonOptions.KvType) ?? CommonOptions.Defaults.KvType;
        if (kvType.Error(model.HeadDim) is { } error)
            errors.Add(error with { Key = CommonOptions.KvType.Name });
        var wire = flags.GetValue(CommonOptions.Wire) ?? (cluster ?? CommonOptions.Defaults).Wire;
        if (wire.Error(model.HiddenSize) is { } wireError)
            errors.Add(wireError with { Key = CommonOptions.Wire.Name });
        return new SplitOptions(
            prefill, decode, Math.Min(flags.GetValue(Batch) ?? CommonOptions.Defaults.MaxBatchTokens, prefill), flags.GetValue(Step) ?? 1,
            flags.GetValue(Repeat) ?? DefaultRepeats, ReadSeed(flags), kvType)
        {
            Wire = wire,
            Link = flags.GetValue(CommonOptions.Link) ?? cluster?.Link,
        };
    }

    private static SplitTargetFlags ReadTarget(ParseResult flags, ClusterConfig? cluster, List<InputError> errors)
    {
        if (cluster is null)
        {
            if (LocalDevice.NameIn(flags) != DeviceInventory.Cpu)
            {
                if (flags.GetResult(Threads) is { Tokens: [{ Value: var text }] } && text.Contains(','))
                    errors.Add(new InputError(Threads.Name, text, $"must be one number beside {CommonOptions.Device.Name}: one worker has both devices"));
                var all = flags.Values(Threads, Environment.ProcessorCount)[0];
                return new SplitTargetFlags(null, null, null, all, all, LocalDevice.Open(LocalDevice.NameIn(flags), all));
            }

            var threads = flags.Values(Threads, Math.Max(1, Environment.ProcessorCount / 2));
            return new SplitTargetFlags(null, null, null, threads[0], threads[^1]);
        }

        return new SplitTargetFlags(cluster, Find(A, flags, cluster, errors), Find(B, flags, cluster, errors), 0, 0);
    }

    private static ChosenDevice? Find(Option<string?> option, ParseResult flags, ClusterConfig cluster, List<InputError> errors)
    {
        var text = flags.GetValue(option);
        var names = string.Join(", ", cluster.Workers.Select(worker => worker.Name));
        if (text is null)
        {
            errors.Add(new InputError(option.Name, null, $"is missing: the cluster has {names}"));
            return null;
        }

        var slash = text.IndexOf('/');
        var (name, device) = slash < 0 ? (text, null) : (text[..slash], text[(slash + 1)..]);
        if (cluster.Workers.FirstOrDefault(worker => worker.Name == name) is { } worker)
            return new ChosenDevice(option.Name, text, worker, device);
        errors.Add(new InputError(option.Name, text, $"must be a worker of the cluster, WORKER or WORKER/DEVICE; it has {names}"));
        return null;
    }
}
