using System.CommandLine;
using Distributed.Cli.Output;

namespace Distributed.Cli.Commands;

/// <summary><c>run</c>: answers once, or chats.</summary>
internal sealed class RunCommand : Command
{
    private readonly Argument<string?> _prompt = new("PROMPT")
    {
        Description = "What to answer; without it stdin is the prompt, or on a terminal a chat begins",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<string?> _system = Flag.Text("--system", "TEXT", "The system message");
    private readonly Option<bool> _raw = Flag.Switch("--raw", "Continue the prompt as it stands, without a chat template");
    private readonly Terminal _terminal;

    public RunCommand(Terminal terminal)
        : base("run", "Answer a prompt, or chat")
    {
        _terminal = terminal;
        Add(_prompt);
        ClusterFlags.AddTo(this, CommonOptions.Workers);
        SamplingFlags.AddTo(this);
        Add(_system);
        Add(_raw);
        _system.NotBeside(_raw, ", which uses no chat template");
        SetAction(RunAsync);
    }

    private Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        _terminal.Error.WriteLine($"error: {flags.CommandResult.Command.Name} is not connected yet");
        return Task.FromResult(ExitCode.Failed);
    }
}
