using System.CommandLine;
using Distributed.Cli.Output;

namespace Distributed.Cli.Commands;

/// <summary><c>tokenize</c>: text to token ids and back.</summary>
internal sealed class TokenizeCommand : Command
{
    private readonly Argument<string?> _text = new("TEXT")
    {
        Description = "The text, or with --decode the ids; without it stdin",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<bool> _special = Flag.Switch("--special", "Read special tokens in the text as such");
    private readonly Option<bool> _bos = Flag.Switch("--bos", "Add what the model adds at the ends");
    private readonly Option<string?> _texts = Flag.Text("--texts", "FILE", "Many at once: a JSON array of texts, or with --decode of arrays of ids");
    private readonly Option<bool> _decode = Flag.Switch("--decode", "Ids in, text out");
    private readonly Terminal _terminal;

    public TokenizeCommand(Terminal terminal)
        : base("tokenize", "Turn text into token ids, or back")
    {
        _terminal = terminal;
        Add(_text);
        Add(CommonOptions.Model);
        Add(_special);
        Add(_bos);
        Add(_texts);
        Add(_decode);
        Add(CommonOptions.Json);
        Add(CommonOptions.LogLevel);
        _texts.NotBeside(_text);
        _special.NotBeside(_decode);
        _bos.NotBeside(_decode);
        SetAction(RunAsync);
    }

    private Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        _terminal.Error.WriteLine($"error: {flags.CommandResult.Command.Name} is not connected yet");
        return Task.FromResult(ExitCode.Failed);
    }
}
