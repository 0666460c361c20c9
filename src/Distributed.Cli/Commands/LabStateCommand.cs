using System.CommandLine;
using Distributed.Cli.Lab;
using Distributed.Cli.Output;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary><c>lab state</c>: what it costs a token that its session outlives the coordinator.</summary>
internal sealed class LabStateCommand : Command
{
    private const int DefaultPairs = 20;
    private const int DefaultTokens = 128;

    private readonly Option<int?> _pairs = Flag.Whole("--repeat", $"Pairs of answers that count (default {DefaultPairs})", 1, 10_000, "-r");
    private readonly Option<int?> _tokens = Flag.Whole("--decode", $"Tokens of an answer (default {DefaultTokens})", 2, 1 << 20, "-n");
    private readonly Option<int?> _workers = CommonOptions.LocalWorkers(1, $"default {CommonOptions.DefaultLocalWorkers}");
    private readonly Terminal _terminal;

    public LabStateCommand(Terminal terminal)
        : base("state", "Time tokens whose sessions are kept in SQLite beside tokens whose are not, in pairs")
    {
        _terminal = terminal;
        ClusterFlags.AddTo(this, _workers);
        Add(_tokens);
        Add(_pairs);
        Add(CommonOptions.Json);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var config = ClusterTarget.Configure(flags, flags.GetValue(_workers) ?? CommonOptions.DefaultLocalWorkers);
        var (pairs, tokens) = (flags.GetValue(_pairs) ?? DefaultPairs, flags.GetValue(_tokens) ?? DefaultTokens);
        string name;
        using (var model = ModelFile.Open(config.Model))
        {
            name = model.Config.Name;
            var longest = StateLab.LongestAnswer(config.ContextFor(model.Config));
            if (tokens > longest)
                throw new InvalidInputException(_tokens.Name, $"{tokens}", $"must be at most {longest}, for which the context has room");
        }

        await using var target = await ClusterTarget.OpenAsync(flags, config, cancellation);
        await using var lab = await StateLab.StartAsync(target.Config, cancellation);
        var cost = StateCost.Of(name, await lab.RunAsync(pairs, tokens, cancellation));
        if (flags.GetValue(CommonOptions.Json))
            Json.Write(_terminal.Out, cost);
        else
            _terminal.OutConsole.Write(cost.Table());
        return ExitCode.Done;
    }
}
