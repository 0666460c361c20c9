using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Cli.Tracing;
using Distributed.Coordinator;
using Distributed.Core;
using Distributed.Core.Chat;

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
        TraceFlags.AddTo(this);
        Add(_system);
        Add(_raw);
        _system.NotBeside(_raw, ", which uses no chat template");
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        var config = ClusterTarget.Configure(flags, flags.GetValue(CommonOptions.Workers) ?? CommonOptions.DefaultLocalWorkers);
        var raw = flags.GetValue(_raw);
        if (!raw)
            CheckTemplate(config.Model);
        using var trace = TraceFlags.Open(flags);
        var prompt = flags.GetValue(_prompt) ?? (_terminal.IsInputInteractive ? null : await ReadPromptAsync(cancellation));

        await using var target = await ClusterTarget.OpenAsync(flags, config, cancellation);
        await using var coordinator = await LoadingBars.ShowAsync(
            _terminal, progress => CoordinatorHost.StartAsync(target.Config, CommonOptions.LogLevelOf(flags), progress, cancellation));
        PlacementTable.PrintRun(_terminal, coordinator.Placement, coordinator.Pipeline.Memory);
        RecoveryLines.Print(_terminal, coordinator);
        // A trace ends with its stages: what others do after a failure is not in it.
        var traced = coordinator.Pipeline;
        traced.Recorder = trace?.Recorder;

        var conversation = new Conversation(_terminal, coordinator)
        {
            Raw = raw,
            System = flags.GetValue(_system),
            Sampling = SamplingFlags.Read(flags),
            MaxTokens = flags.GetValue(SamplingFlags.MaxTokens),
            Stop = flags.GetValue(SamplingFlags.Stop) ?? [],
        };
        try
        {
            if (prompt is null)
                await conversation.ChatAsync(cancellation);
            else
                await conversation.AnswerAsync(prompt, cancellation);
        }
        catch when (trace is not null)
        {
            // What an interrupted or failed answer has left is what one wants to look at; why it failed is what one must be told.
            await WriteAfterErrorAsync(trace, traced, coordinator.Model.Config);
            throw;
        }

        if (trace is not null)
            await trace.WriteAsync(traced, coordinator.Model.Config, _terminal);
        return ExitCode.Done;
    }

    private async Task WriteAfterErrorAsync(TraceFile trace, Pipeline traced, ModelConfig model)
    {
        try
        {
            await trace.WriteAsync(traced, model, _terminal);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidInputException)
        {
            _terminal.Error.WriteLine($"warning: there is no trace: {error.Message}");
        }
    }

    // Before any worker is started: a model without a known template answers bare prompts only.
    private static void CheckTemplate(string path)
    {
        using var source = ModelSource.Open(path);
        ChatTemplate.FromModel(source);
    }

    // What a shell adds to the last line is no part of the prompt.
    private async Task<string> ReadPromptAsync(CancellationToken cancellation)
    {
        var text = await TextInput.ReadAsync(_terminal.In, "PROMPT", "stdin", cancellation);
        return text.EndsWith('\n') ? text[..^1].TrimEnd('\r') : text;
    }
}
