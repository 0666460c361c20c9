using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary><c>logits</c>: what the model makes of given tokens, as numbers.</summary>
internal sealed class LogitsCommand : Command
{
    private readonly Option<int[]> _ids = Flag.Create("--ids", "LIST", "The tokens, e.g. 1,2,3", (string text, out int[] ids) =>
    {
        var words = text.Split(',', StringSplitOptions.TrimEntries);
        ids = new int[words.Length];
        for (var i = 0; i < words.Length; i++)
            if (Flag.ReadWhole(words[i], 0, int.MaxValue, out ids[i]) is not null)
                return "must be token ids, separated by commas";
        return null;
    });

    private readonly Option<string?> _out = Flag.Text("--out", "FILE", "Where to write them: float32, little-endian, [tokens, vocabulary]");
    private readonly Option<bool> _step = Flag.Switch("--step", "One token at a time instead of one batch");
    private readonly Option<int?> _workers = CommonOptions.LocalWorkers(0, "default 0: compute in this process");

    private readonly Terminal _terminal;

    public LogitsCommand(Terminal terminal)
        : base("logits", "Write the logits behind each of the given tokens to a file")
    {
        _terminal = terminal;
        _ids.Required = true;
        _out.Required = true;
        Add(_ids);
        Add(_out);
        Add(_step);
        ClusterFlags.AddTo(this, _workers);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var ids = flags.GetRequiredValue(_ids);
        var workers = flags.GetValue(_workers) ?? 0;
        ClusterFlags.CheckWorkers(flags, workers);
        var config = ClusterTarget.Configure(flags, Math.Max(workers, 1));
        using var model = ModelFile.Open(config.Model);
        Check(ids, model, config.ContextFor(model.Config));
        config = config with { MaxBatchTokens = LogitsSource.BatchTokens(config, model.Config, ids.Length), Sequences = 1 };

        using var output = new PartialFile("--out", flags.GetRequiredValue(_out)!);
        var inProcess = workers == 0 && flags.GetValue(CommonOptions.Cluster) is null;
        await using var target = inProcess ? null : await ClusterTarget.OpenAsync(flags, config, cancellation);
        await using var source = await LogitsSource.StartAsync(
            _terminal, model, config, target, flags, cancellation);
        var batch = flags.GetValue(_step) ? 1 : config.MaxBatchTokens;
        for (var start = 0; start < ids.Length; start += batch)
        {
            cancellation.ThrowIfCancellationRequested();
            var tokens = ids.AsMemory(start, Math.Min(batch, ids.Length - start));
            await output.Stream.WriteAsync(await source.ComputeAsync(start, tokens, wanted: true, cancellation), cancellation);
        }

        output.Complete();
        return ExitCode.Done;
    }

    private static void Check(int[] ids, ModelFile model, int context)
    {
        var errors = ids.Index().Where(id => id.Item >= model.Config.VocabSize)
            .Select(id => new InputError($"--ids[{id.Index}]", $"{id.Item}", $"must be a token id from 0 to {model.Config.VocabSize - 1}"))
            .ToList();
        if (ids.Length > context)
            errors.Add(new InputError("--ids", $"{ids.Length} tokens", $"must be at most the context of {context} tokens"));
        if (errors.Count > 0)
            throw new InvalidInputException(errors);
    }
}
