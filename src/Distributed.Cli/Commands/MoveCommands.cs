using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Coordinator.Api;

namespace Distributed.Cli.Commands;

/// <summary><c>drain</c>: moves a worker's layers of a running coordinator to the others; running answers go on.</summary>
internal sealed class DrainCommand : Command
{
    public DrainCommand(Terminal terminal)
        : base("drain", "Move a worker's layers to the others, while answers go on, and use it no more until rebalance WORKER asks it back")
    {
        var worker = new Argument<string>("WORKER") { Description = "The worker, by its name in the cluster" };
        Add(worker);
        MoveCall.AddTo(this, terminal, flags => $"/drain?worker={Uri.EscapeDataString(flags.GetValue(worker)!)}");
    }
}

/// <summary><c>rebalance</c>: places the model of a running coordinator anew; running answers go on.</summary>
internal sealed class RebalanceCommand : Command
{
    public RebalanceCommand(Terminal terminal)
        : base("rebalance", "Place the model anew on the workers that answer now, while answers go on")
    {
        var worker = new Argument<string?>("WORKER")
        {
            Description = "A drained worker to use again",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Add(worker);
        MoveCall.AddTo(this, terminal, flags =>
            flags.GetValue(worker) is { } name ? $"/rebalance?worker={Uri.EscapeDataString(name)}" : "/rebalance");
    }
}

/// <summary>What both have in common.</summary>
internal static class MoveCall
{
    /// <summary>Adds the flags to a verb, and what it does.</summary>
    public static void AddTo(Command verb, Terminal terminal, Func<ParseResult, string> path)
    {
        CoordinatorCall.AddTo(verb);
        verb.SetAction(async (flags, cancellation) =>
        {
            var report = await CoordinatorCall.PostAsync(flags, path(flags), MoveJson.Default.MoveReport, cancellation);
            if (flags.GetValue(CommonOptions.Json))
                Json.Write(terminal.Out, report);
            else
                terminal.Out.WriteLine(Printable.Line($"{report}"));
            return ExitCode.Done;
        });
    }
}
