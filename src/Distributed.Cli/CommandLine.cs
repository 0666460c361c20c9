using System.CommandLine;
using Distributed.Cli.Commands;
using Distributed.Cli.Output;

namespace Distributed.Cli;

/// <summary>From the words of a command line to an exit code: the table of verbs, and where every error ends.</summary>
internal static class CommandLine
{
    /// <summary>Runs one command line.</summary>
    /// <param name="args">The words after the program's name.</param>
    /// <param name="terminal">Where it reads and writes.</param>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string[] args, Terminal terminal)
    {
        var program = Verbs(terminal);
        // A prompt may begin with @ or [: it names no response file and no directive.
        program.Directives.Clear();
        var parsed = program.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false });
        if (UsageErrors.Find(parsed) is { Count: > 0 } errors)
            return ErrorReport.Usage(terminal, errors, parsed.CommandResult.Command);

        try
        {
            return await parsed.InvokeAsync(
                new InvocationConfiguration
                {
                    Output = terminal.Out,
                    Error = terminal.Error,
                    EnableDefaultExceptionHandler = false,
                    ProcessTerminationTimeout = null,
                },
                terminal.Interrupt.Token);
        }
#pragma warning disable CA1031 // The one place where every failure becomes a message and an exit code.
        catch (Exception error)
#pragma warning restore CA1031
        {
            return ErrorReport.Failure(terminal, error, CommonOptions.IsDebugging(parsed));
        }
    }

    private static RootCommand Verbs(Terminal terminal) => new("Runs a language model whose layers are split over several workers.")
    {
        new RunCommand(terminal),
        new ServeCommand(terminal),
        new WorkerCommand(terminal),
        new PlanCommand(terminal),
        new StatusCommand(terminal),
        new SessionsCommand(terminal),
        new DrainCommand(terminal),
        new RebalanceCommand(terminal),
        new InspectCommand(terminal),
        new TokenizeCommand(terminal),
        new LogitsCommand(terminal),
        new QuantizeCommand(terminal),
        new PerplexityCommand(terminal),
        new BenchCommand(terminal),
        new LabCommand(terminal),
        new CertsCommand(terminal),
    };
}
