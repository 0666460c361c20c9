using System.CommandLine;
using Distributed.Cli.Output;

namespace Distributed.Cli.Commands;

/// <summary><c>logits</c>: what the model makes of given tokens, as numbers.</summary>
internal sealed class LogitsCommand : Command
{
    private readonly Option<int[]> _ids = Flag.Create("--ids", "LIST", "The tokens, e.g. 1,2,3", (string text, out int[] ids) =>
    {
        var words = text.Split(',', StringSplitOptions.TrimEntries);
        ids = new int[words.Length];
        for (var i = 0; i < words.Length; i++)
            if (Flag.ReadWhole(words[i], 0, int.MaxValue, out ids[i]) is not null)
                return "must be token ids, separated by commas";
        return null;
    });

    private readonly Option<string?> _out = Flag.Text("--out", "FILE", "Where to write them: float32, little-endian, [tokens, vocabulary]");
    private readonly Option<bool> _step = Flag.Switch("--step", "One token at a time instead of one batch");
    private readonly Option<int?> _workers = CommonOptions.LocalWorkers(0, "default 0: compute in this process");
    private readonly Terminal _terminal;

    public LogitsCommand(Terminal terminal)
        : base("logits", "Write the logits behind each of the given tokens to a file")
    {
        _terminal = terminal;
        _ids.Required = true;
        _out.Required = true;
        Add(_ids);
        Add(_out);
        Add(_step);
        ClusterFlags.AddTo(this, _workers);
        SetAction(RunAsync);
    }

    private Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        _terminal.Error.WriteLine($"error: {flags.CommandResult.Command.Name} is not connected yet");
        return Task.FromResult(ExitCode.Failed);
    }
}
