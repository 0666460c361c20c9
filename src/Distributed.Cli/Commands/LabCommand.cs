using System.CommandLine;
using Distributed.Cli.Output;

namespace Distributed.Cli.Commands;

/// <summary><c>lab</c>: experiments, each a verb of its own.</summary>
internal sealed class LabCommand : Command
{
    public LabCommand(Terminal terminal)
        : base("lab", "Experiments")
    {
        Add(new LabPlanCommand(terminal));
    }
}
