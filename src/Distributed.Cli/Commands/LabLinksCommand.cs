using System.CommandLine;
using Distributed.Cli.Lab;
using Distributed.Cli.Output;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary><c>lab links</c>: what the way from each worker to the next costs, beside a plain socket.</summary>
internal sealed class LabLinksCommand : Command
{
    private const int DefaultRepeats = 200;

    private readonly Option<string?> _out = Flag.Text("--out", "DIR", "A new folder for data.csv and setup.json (default none)", "-o");

    private readonly Option<int?> _repeat =
        Flag.Whole("--repeat", $"Round trips that are timed; of chunks a tenth (default {DefaultRepeats})", 1, 10_000, "-r");

    private readonly Option<int?> _workers = CommonOptions.LocalWorkers(2, $"default {CommonOptions.DefaultLocalWorkers}");
    private readonly Terminal _terminal;

    public LabLinksCommand(Terminal terminal)
        : base("links", "Time the links between neighbouring workers, beside a plain socket")
    {
        _terminal = terminal;
        ClusterFlags.AddTo(this, _workers);
        Add(_out);
        Add(_repeat);
        Add(CommonOptions.Json);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var config = ClusterTarget.Configure(flags, flags.GetValue(_workers) ?? CommonOptions.DefaultLocalWorkers);
        if (config.Workers.Count < 2)
            throw new InvalidInputException("workers", $"{config.Workers.Count}", "must be at least 2: a link has two ends");
        using var model = ModelFile.Open(config.Model);
        var plan = LinksPlan.For(config.Wire, model.Config, flags.GetValue(_repeat) ?? DefaultRepeats);
        using var folder = flags.GetValue(_out) is { } path ? new LabFolder(_out.Name, path, "links") : null;
        await using var target = await ClusterTarget.OpenAsync(flags, config, cancellation);
        folder?.WriteJson("setup.json", new LinksSetup([.. flags.Tokens.Select(token => token.Value)], model.Config.Name, plan, target.Config));

        using var csv = folder is null ? null : new LabCsv(folder.File("data.csv"), LinkSamples.Heads);
        var rows = new List<LinkRow>();
        foreach (var (from, to) in target.Config.Workers.Zip(target.Config.Workers.Skip(1)))
        {
            var samples = await LinkSamples.TakeAsync(target.Config, from, to, plan, cancellation);
            foreach (var cells in samples.Rows())
                csv?.Add(cells);
            rows.Add(LinkRow.Of(samples));
        }

        if (flags.GetValue(CommonOptions.Json))
            Json.Write(_terminal.Out, rows);
        else
            _terminal.OutConsole.Write(LinkRow.Table(rows));
        if (rows.Any(row => row.RawRoundTripUs is null))
            _terminal.Error.WriteLine("a plain socket is timed only between workers of one machine, on links that are left as they are");
        if (folder is not null)
            _terminal.Error.WriteLine($"data.csv and setup.json are in {folder}");
        return ExitCode.Done;
    }
}
