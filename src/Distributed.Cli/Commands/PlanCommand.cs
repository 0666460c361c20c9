using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Coordinator;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary>
/// <c>plan</c>: which layers would go where, the memory they would take, and how long a token would. Loads nothing and starts nothing.
/// </summary>
internal sealed class PlanCommand : Command
{
    private readonly Terminal _terminal;

    public PlanCommand(Terminal terminal)
        : base("plan", "Show which layers would go where, the memory they would take, and how long a token would")
    {
        _terminal = terminal;
        ClusterFlags.AddTo(this, CommonOptions.Workers);
        Add(CommonOptions.Json);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var config = ClusterTarget.Configure(flags, flags.GetValue(CommonOptions.Workers) ?? CommonOptions.DefaultLocalWorkers);
        using var model = ModelFile.Open(config.Model);
        var placement = flags.GetValue(CommonOptions.Cluster) is not null
            ? await ClusterPlan.MakeAsync(model, config, cancellation)
            : await ClusterTarget.PlanLocalAsync(flags, config, model, cancellation);

        if (flags.GetValue(CommonOptions.Json))
            Json.Write(_terminal.Out, PlanReport.Of(placement, config));
        else
            PlacementTable.PrintPlan(_terminal, placement, config);
        return ExitCode.Done;
    }
}
