using System.CommandLine;
using System.Text;
using Distributed.Cli.Output;
using Distributed.Core;
using Distributed.Core.Tokenization;

namespace Distributed.Cli.Commands;

/// <summary><c>tokenize</c>: text to token ids and back. A vocabulary without weights is enough.</summary>
internal sealed class TokenizeCommand : Command
{
    private const int MaxErrors = 20;

    private readonly Argument<string?> _text = new("TEXT")
    {
        Description = "The text, or with --decode the ids; without it stdin",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<bool> _special = Flag.Switch("--special", "Read special tokens in the text as such");
    private readonly Option<bool> _bos = Flag.Switch("--bos", "Add what the model adds at the ends");
    private readonly Option<string?> _texts =
        Flag.Text("--texts", "FILE", "Many at once: a JSON array of texts, or with --decode of arrays of ids; - for stdin");
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

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        using var source = ModelSource.Open(flags.GetValue(CommonOptions.Model) ?? SampleModel.Path);
        var tokenizer = Tokenizer.FromVocabulary(source.ReadVocabulary());
        if (flags.GetValue(_texts) is { } path)
            await WriteManyAsync(flags, tokenizer, path, cancellation);
        else
            WriteOne(flags, tokenizer, flags.GetValue(_text) ?? await TextInput.ReadAsync(_terminal.In, "TEXT", "stdin", cancellation));
        return ExitCode.Done;
    }

    private void WriteOne(ParseResult flags, Tokenizer tokenizer, string text)
    {
        if (!flags.GetValue(_decode))
            Json.WriteLine(_terminal.Out, Encode(flags, tokenizer, text));
        else if (flags.GetValue(CommonOptions.Json))
            Json.WriteLine(_terminal.Out, Decode(tokenizer, "TEXT", ReadIds(text)));
        else
            _terminal.Out.WriteLine(Decode(tokenizer, "TEXT", ReadIds(text)));
    }

    private async Task WriteManyAsync(ParseResult flags, Tokenizer tokenizer, string path, CancellationToken cancellation)
    {
        if (flags.GetValue(_decode))
        {
            var lists = await JsonInput.ReadFileAsync<int[]?[]>(
                _terminal, "--texts", path, "must be a JSON array of arrays of token ids", cancellation);
            Json.WriteLine(_terminal.Out, lists.Select((ids, i) => Decode(tokenizer, $"--texts[{i}]", ids)));
        }
        else
        {
            var texts = await JsonInput.ReadFileAsync<string?[]>(_terminal, "--texts", path, "must be a JSON array of texts", cancellation);
            Json.WriteLine(
                _terminal.Out, texts.Select((text, i) => Encode(flags, tokenizer, text ?? throw Null($"--texts[{i}]", "a text"))));
        }
    }

    private int[] Encode(ParseResult flags, Tokenizer tokenizer, string text) =>
        tokenizer.Encode(text, flags.GetValue(_special), flags.GetValue(_bos));

    private static string Decode(Tokenizer tokenizer, string key, int[]? ids)
    {
        var last = tokenizer.VocabSize - 1;
        var errors = (ids ?? throw Null(key, "an array of token ids")).Where(id => id < 0 || id > last).Take(MaxErrors)
            .Select(id => new InputError(key, $"{id}", $"must be a token id from 0 to {last}")).ToList();
        return errors.Count == 0 ? tokenizer.Decode(ids) : throw new InvalidInputException(errors);
    }

    /// <summary>Ids as this verb prints them, or with commas or blanks alone.</summary>
    private static int[] ReadIds(string text)
    {
        var trimmed = text.Trim();
        var inner = trimmed is ['[', .. var between, ']'] ? between : trimmed;
        var list = inner.Split([' ', ',', '\t', '\r', '\n'], StringSplitOptions.RemoveEmptyEntries);
        var json = Encoding.UTF8.GetBytes($"[{string.Join(',', list)}]");
        return JsonInput.Parse<int[]>("TEXT", text, json, "must be token ids, separated by commas");
    }

    private static InvalidInputException Null(string key, string expected) => new(key, "null", $"must be {expected}");
}
