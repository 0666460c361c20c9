using System.CommandLine;
using Distributed.Cli.Bench;
using Distributed.Cli.Lab;
using Distributed.Cli.Output;
using Distributed.Cluster.Links;
using Distributed.Core;
using Distributed.Core.Synthetic;

namespace Distributed.Cli.Commands;

/// <summary><c>lab plan</c>: how far forecasts are from what is measured, over models, splits and threads.</summary>
internal sealed class LabPlanCommand : Command
{
    private const int DefaultPrompt = 512;
    private const int DefaultAnswer = 24;
    private const int DefaultRepeats = 3;
    private const int MaxTokens = 8192;
    private const string LinksAsTheyAre = "none";

    private static readonly string[] DefaultModels =
    [
        "layers=8,hidden=512,ffn=1536,heads=8,kv=4,vocab=8000:q8_0",
        "layers=12,hidden=1024,ffn=2816,heads=16,kv=4,vocab=16000:q4_0",
        "layers=12,hidden=1024,ffn=2816,heads=16,kv=4,vocab=16000:q4_k_m",
        "llama-1b:q4_0",
        "llama-1b:q8_0",
    ];

    private readonly Option<string?> _models = Flag.Text(
        "--models", "SHAPE:TYPE[;…]", "Models of random weights, separated by semicolons (default five from 20 M to 1.1 G parameters)");

    private readonly Option<int[]?> _workers = Flag.Wholes("--workers", "Worker processes (default 1,2)", 1, CommonOptions.MaxLocalWorkers);
    private readonly Option<int[]?> _threads = Flag.Wholes("--threads", "Threads of each (default 1)", 1, CommonOptions.MaxThreads, "-t");
    private readonly Option<int?> _prompt = Flag.Whole("--prefill", $"Tokens of the prompt (default {DefaultPrompt})", 1, MaxTokens, "-p");
    private readonly Option<int?> _answer = Flag.Whole("--decode", $"Tokens of the answer (default {DefaultAnswer})", 1, MaxTokens, "-n");
    private readonly Option<LinkShape?[]?> _links = Flag.Create<LinkShape?[]?>(
        "--link", "SHAPE[;…]", $"What to make of the links, e.g. \"{LinksAsTheyAre};delay=1ms\" (default {LinksAsTheyAre})", ParseLinks);

    private readonly Option<string?> _out = Flag.Text("--out", "DIR", "A new folder for data.csv and setup.json (default none)", "-o");
    private readonly Option<int?> _repeat = Flag.Whole("--repeat", $"Runs that count (default {DefaultRepeats})", 1, 1000, "-r");
    private readonly Terminal _terminal;

    public LabPlanCommand(Terminal terminal)
        : base("plan", "Hold what plans predict against what is measured, over models, splits and threads")
    {
        _terminal = terminal;
        foreach (var option in (Option[])[_models, _workers, _threads, _prompt, _answer, _repeat, _out, _links, CommonOptions.Json, CommonOptions.LogLevel])
            Options.Add(option);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        LinkShape?[] links = flags.GetValue(_links) is { Length: > 0 } given ? given : [null];
        var setup = new PlanLabSetup(
            [.. flags.Tokens.Select(token => token.Value)],
            flags.GetValue(_models)?.Split(';', StringSplitOptions.TrimEntries) ?? DefaultModels,
            flags.Values(_workers, 1, 2),
            flags.Values(_threads, 1),
            flags.GetValue(_prompt) ?? DefaultPrompt,
            flags.GetValue(_answer) ?? DefaultAnswer,
            flags.GetValue(_repeat) ?? DefaultRepeats,
            [.. links.Select(link => link?.ToString() ?? LinksAsTheyAre)]);
        var plans = ReadPlans(setup);
        using var folder = flags.GetValue(_out) is { } path ? new LabFolder(_out.Name, path, "plan") : null;
        folder?.WriteJson("setup.json", setup);
        using var csv = folder is null ? null : new LabCsv(folder.File("data.csv"), PlanLabRow.Heads);
        var lab = new PlanLab(setup.Prefill, setup.Decode, setup.Repeats, cancellation);
        List<PlanLabRow> rows = [];
        foreach (var plan in plans)
        {
            using var model = BenchModel.Make(_terminal, plan, seed: 1, save: null, asFile: true, cancellation);
            foreach (var workers in setup.Workers)
                foreach (var threads in setup.Threads)
                    foreach (var link in links)
                        Add(await lab.RunAsync(model, workers, threads, link));
        }

        if (flags.GetValue(CommonOptions.Json))
        {
            Json.Write(_terminal.Out, rows);
        }
        else
        {
            _terminal.OutConsole.Write(PlanLabTable.Of(rows));
            _terminal.Out.WriteLine();
            _terminal.OutConsole.Write(PlanLabTable.OfErrors(rows));
        }

        if (folder is not null)
            _terminal.Error.WriteLine($"data.csv and setup.json are in {folder}");
        return ExitCode.Done;

        void Add(PlanLabRow row)
        {
            rows.Add(row);
            csv?.Add(row.Cells());
            _terminal.Error.WriteLine(PlanLabTable.LineOf(row));
        }
    }

    private static string? ParseLinks(string text, out LinkShape?[]? links)
    {
        links = null;
        var parts = text.Split(';', StringSplitOptions.TrimEntries);
        var shapes = new LinkShape?[parts.Length];
        for (var i = 0; i < parts.Length; i++)
        {
            if (parts[i] != LinksAsTheyAre && !LinkShape.TryParse(parts[i], out shapes[i]!))
                return $"{LinkShape.Rule}, or {LinksAsTheyAre}, and semicolons between";
        }

        links = shapes;
        return null;
    }

    /// <summary>The models, each of which has room in its context and in memory, before the first is made.</summary>
    private List<SyntheticPlan> ReadPlans(PlanLabSetup setup)
    {
        var options = setup.ToBench();
        var device = LocalDevice.Open(options.Device, options.Threads[0]);
        var (plans, errors) = (new List<SyntheticPlan>(), new List<InputError>());
        foreach (var text in setup.Models)
        {
            try
            {
                var plan = SyntheticPlan.Parse(text, _models.Name);
                plans.Add(plan);
                if (setup.Prefill + setup.Decode > plan.Config.ContextLength)
                {
                    errors.Add(new InputError(
                        _prompt.Name, $"{setup.Prefill}",
                        $"must fit the context of {plan.Config.ContextLength} tokens of {text} together with {_answer.Name} {setup.Decode}"));
                }

                if (BenchRoom.Error(plan.Config, plan.Bytes, options, device) is { } rule)
                    throw plan.Error(rule);
            }
            catch (InvalidInputException error)
            {
                errors.AddRange(error.Errors);
            }
        }

        return errors.Count > 0 ? throw new InvalidInputException(errors) : plans;
    }
}
