using System.CommandLine;
using System.Diagnostics;
using Distributed.Cli.Output;
using Distributed.Core;
using Distributed.Core.Gguf;
using Distributed.Core.Quantization;

namespace Distributed.Cli.Commands;

/// <summary><c>quantize</c>: a model as a GGUF file of another type.</summary>
internal sealed class QuantizeCommand : Command
{
    private const int BufferBytes = 1 << 20;

    private readonly Argument<string> _in = new("IN") { Description = "The model: a GGUF file, or the first of a split set" };
    private readonly Argument<string> _out = new("OUT") { Description = "The file to write" };
    private readonly Argument<string> _type = new("TYPE")
    {
        Description = $"What to write: {string.Join(", ", FileType.All.Select(type => type.Name))}",
    };

    private readonly Option<bool> _force = Flag.Switch("--force", "Replace OUT where it exists");
    private readonly Option<bool> _requantize =
        Flag.Switch("--allow-requantize", "Round again what is quantised already; worse than quantising the original");

    private readonly Option<int?> _threads = Flag.Whole("--threads", "Threads that compute", 1, CommonOptions.MaxThreads, "-t");
    private readonly Terminal _terminal;

    public QuantizeCommand(Terminal terminal)
        : base("quantize", "Write a model as a GGUF file of another type")
    {
        _terminal = terminal;
        Add(_in);
        Add(_out);
        Add(_type);
        Add(_force);
        Add(_requantize);
        Add(_threads);
        Add(CommonOptions.Json);
        Add(CommonOptions.LogLevel);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var (input, path) = (flags.GetRequiredValue(_in), flags.GetRequiredValue(_out));
        using var file = GgufFile.Open(input);
        using var model = ModelFile.Open(input);
        var type = FileType.Find(flags.GetRequiredValue(_type));
        var quantizer = type is null ? null : new ModelQuantizer(model, file.Metadata, type);
        var errors = CheckOutput(file, path, flags.GetValue(_force)).ToList();
        if (type is null)
            errors.Add(new InputError("TYPE", flags.GetRequiredValue(_type), FileType.Rule));
        if (quantizer?.Tensors.FirstOrDefault(tensor => tensor.IsRequantized) is { } again && !flags.GetValue(_requantize))
        {
            errors.Add(new InputError(
                "IN", input,
                $"is quantised already ({again.Source.Name} is {again.Source.Type}), and {type} would round it again: "
                + "take an original in F32, F16 or BF16, or say --allow-requantize"));
        }

        if (errors.Count > 0)
            throw new InvalidInputException(errors);
        await WriteAsync(flags, quantizer!, type!, path, cancellation);
        return ExitCode.Done;
    }

    private async Task WriteAsync(ParseResult flags, ModelQuantizer quantizer, FileType type, string path, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var threads = flags.GetValue(_threads) ?? Environment.ProcessorCount;
        var bytes = quantizer.Tensors.Sum(tensor => tensor.Source.Bytes);
        using var output = new PartialFile("OUT", path);
        if (!output.Stream.CanSeek)
            throw new InvalidInputException("OUT", path, "must be a plain file");
        await ProgressBar.ShowAsync(_terminal, $"to {type}", bytes, progress => Task.Run(
            () =>
            {
                var stream = new BufferedStream(output.Stream, BufferBytes);
                quantizer.Write(stream, threads, progress, cancellation);
                stream.Flush();
            },
            cancellation));
        output.Complete();

        var report = QuantizeReport.Create(path, type, quantizer.Tensors, clock.Elapsed);
        if (flags.GetValue(CommonOptions.Json))
            Json.Write(_terminal.Out, report);
        else
            report.Print(_terminal.OutConsole);
    }

    private static IEnumerable<InputError> CheckOutput(GgufFile model, string path, bool force)
    {
        if (path.Length == 0)
        {
            yield return new InputError("OUT", path, "must not be empty");
            yield break;
        }

        var target = RealPath(path);
        // What is told of the file would be written over its beginning.
        if (Path.GetFullPath(path) is "/dev/stdout" or "/dev/fd/1" or "/proc/self/fd/1")
            yield return new InputError("OUT", path, "must not be stdout, which has the report");
        else if (model.Paths.Any(shard => RealPath(shard) == target))
            yield return new InputError("OUT", path, "must be another file than IN");
        else if (File.Exists(path) && !force)
            yield return new InputError("OUT", path, "exists already; --force replaces it");
    }

    private static string RealPath(string path) =>
        Path.GetFullPath(new FileInfo(path) is { Exists: true } file ? file.ResolveLinkTarget(true)?.FullName ?? path : path);
}
