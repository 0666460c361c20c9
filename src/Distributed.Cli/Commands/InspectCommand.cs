using System.CommandLine;
using Distributed.Cli.Output;

namespace Distributed.Cli.Commands;

/// <summary><c>inspect</c>: what is in a model file.</summary>
internal sealed class InspectCommand : Command
{
    private readonly Argument<string> _model = new("MODEL") { Description = "A GGUF file, or the first of a split set" };
    private readonly Option<bool> _tensors = Flag.Switch("--tensors", "List the tensors");
    private readonly Terminal _terminal;

    public InspectCommand(Terminal terminal)
        : base("inspect", "Show what is in a model file")
    {
        _terminal = terminal;
        Add(_model);
        Add(_tensors);
        Add(CommonOptions.Context);
        Add(CommonOptions.KvType);
        Add(CommonOptions.Json);
        Add(CommonOptions.LogLevel);
        SetAction(RunAsync);
    }

    private Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        _terminal.Error.WriteLine($"error: {flags.CommandResult.Command.Name} is not connected yet");
        return Task.FromResult(ExitCode.Failed);
    }
}
