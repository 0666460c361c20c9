using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Distributed.Cli.Output;
using Distributed.Core;
using Distributed.Core.Sampling;

namespace Distributed.Cli.Commands;

/// <summary><c>perplexity</c>: how well a model predicts a text, by llama.cpp's definition.</summary>
internal sealed class PerplexityCommand : Command
{
    private const int DefaultContext = 512;
    private const int ShortestContext = 4;

    // As llama.cpp demands, so that a figure does not stand on one chunk alone.
    private const int FewestChunks = 2;

    private readonly Argument<string> _file = new("FILE") { Description = "The text; - for stdin" };
    private readonly Option<int?> _chunks = Flag.Whole("--chunks", "The most chunks (default all)", 1, int.MaxValue);
    private readonly Option<int?> _workers = CommonOptions.LocalWorkers(0, "default 0: compute in this process");
    private readonly Terminal _terminal;

    public PerplexityCommand(Terminal terminal)
        : base("perplexity", "Measure how well a model predicts a text")
    {
        _terminal = terminal;
        Add(_file);
        Add(_chunks);
        ClusterFlags.AddTo(this, _workers);
        Add(CommonOptions.Json);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var workers = flags.GetValue(_workers) ?? 0;
        ClusterFlags.CheckWorkers(flags, workers);
        var config = ClusterTarget.Configure(flags, Math.Max(workers, 1));
        using var model = ModelFile.Open(config.Model);
        var context = flags.GetValue(CommonOptions.Context) ?? Math.Min(DefaultContext, config.ContextFor(model.Config));
        var text = await TextInput.ReadFileAsync(_terminal, "FILE", flags.GetRequiredValue(_file), cancellation);
        var tokens = model.Tokenizer.Encode(text, addBosEos: true);
        Check(tokens, context, model.Config.VocabSize);

        config = config with { Context = context, Sequences = 1 };
        config = config with { MaxBatchTokens = LogitsSource.BatchTokens(config, model.Config, context) };
        var inProcess = workers == 0 && flags.GetValue(CommonOptions.Cluster) is null;
        await using var target = inProcess ? null : await ClusterTarget.OpenAsync(flags, config, cancellation);
        await using var source = await LogitsSource.StartAsync(
            _terminal, model, config, target, flags, cancellation);
        var scorer = new ChunkScorer(source, config.MaxBatchTokens, flags.GetValue(CommonOptions.Threads) ?? Environment.ProcessorCount);

        var clock = Stopwatch.StartNew();
        var chunks = Math.Min(tokens.Length / context, flags.GetValue(_chunks) ?? int.MaxValue);
        var perplexity = new Perplexity();
        for (var chunk = 0; chunk < chunks; chunk++)
        {
            var first = chunk * context;
            if (model.Tokenizer.AddsBos)
                tokens[first] = model.Tokenizer.BosId!.Value;
            await scorer.ScoreAsync(tokens.AsMemory(first, context), perplexity, cancellation);
            _terminal.Error.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"chunk {chunk + 1} of {chunks}: perplexity {perplexity.Value:0.0000}"));
        }

        var report = PerplexityReport.Create(perplexity, model.Config.Name, context, chunks, clock.Elapsed);
        if (flags.GetValue(CommonOptions.Json))
            Json.Write(_terminal.Out, report);
        else
            report.Print(_terminal);
        return ExitCode.Done;
    }

    private static void Check(int[] tokens, int context, int vocabulary)
    {
        if (context < ShortestContext)
            throw new InvalidInputException("--context", $"{context}", $"must be at least {ShortestContext}: each chunk has a token to score");
        if (tokens.Length < FewestChunks * context)
        {
            throw new InvalidInputException(
                "FILE", $"{tokens.Length} tokens",
                $"must be at least {FewestChunks * context}, {FewestChunks} chunks of {context}; a smaller --context takes a shorter text");
        }

        if (tokens.FirstOrDefault(token => token >= vocabulary) is > 0 and var unknown)
            throw new InvalidInputException("FILE", $"token {unknown}", $"must be below {vocabulary}, the tokens that the model has logits of");
    }
}
