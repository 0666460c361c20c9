using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Cli.Commands;

/// <summary><c>inspect</c>: what is in a model file. One that cannot run is shown as far as it is understood, before the errors.</summary>
internal sealed class InspectCommand : Command
{
    private readonly Argument<string> _model = new("MODEL")
    {
        Description = "A GGUF file, the first of a split set, or a folder from Hugging Face",
    };

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
        SetAction(Run);
    }

    private int Run(ParseResult flags)
    {
        using var source = ModelSource.Open(flags.GetRequiredValue(_model));
        IReadOnlyDictionary<string, Tensor> tensors = new Dictionary<string, Tensor>();
        ModelFile? model = null;
        InvalidInputException? error = null;
        try
        {
            // A vocabulary without weights is no model, but no broken one either.
            tensors = source.Tensors;
            model = tensors.Count > 0 ? ModelFile.Open(source.Path) : null;
        }
        catch (InvalidInputException invalid)
        {
            error = invalid;
        }

        using (model)
        {
            var memory = model is null ? null : MemoryOf(flags, model);
            var report = ModelReport.Create(source, tensors.Values, model, memory, flags.GetValue(_tensors));
            if (flags.GetValue(CommonOptions.Json))
                Json.Write(_terminal.Out, report);
            else
                ModelReportText.Print(_terminal.OutConsole, report);
        }

        return error is null ? ExitCode.Done : throw error;
    }

    private static ModelMemory MemoryOf(ParseResult flags, ModelFile model)
    {
        var config = new ClusterConfig { Model = model.Path, Context = flags.GetValue(CommonOptions.Context) };
        config = config with { KvType = flags.GetValue(CommonOptions.KvType) ?? config.KvType };
        var errors = ClusterValidator.Check(config, model.Config);
        return errors.Count == 0
            ? ModelMemory.Of(model, config.ContextFor(model.Config), config.KvType)
            : throw new InvalidInputException([.. errors.Select(error => error with { Key = $"--{error.Key}" })]);
    }
}
