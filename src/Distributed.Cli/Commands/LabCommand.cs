using System.CommandLine;
using Distributed.Cli.Output;

namespace Distributed.Cli.Commands;

/// <summary><c>lab</c>: experiments. Each leaves a folder with its data, its setup and its plots.</summary>
internal sealed class LabCommand : Command
{
    public LabCommand(Terminal terminal)
        : base("lab", "Run an experiment that leaves its data and plots in a folder")
    {
        Add(new LabGpuCommand(terminal));
        Add(new LabLinksCommand(terminal));
        Add(new LabPlanCommand(terminal));
        Add(new LabSoakCommand(terminal));
        Add(new LabSplitCommand(terminal));
        Add(new LabStateCommand(terminal));
    }
}
